"""The page, looked at in a real browser: headless Chromium beside a real relay."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from browser import Browser
from bus import Bus
from certificates import TestCa
from harness import Host, wait_until
from messages import Message, envelope, numbered
from served import Web

HOSTILE = "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'>\"'&\u202etxt\u2028"
CA = TestCa()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with contextlib.closing(Browser()) as browser:
        yield browser


@pytest.fixture(scope="module")
def web(module_bus: Bus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    ca, crl = CA.write(tmp_path_factory.mktemp("ca"))
    module_bus.host.write("fedmsg.d/ca.py", f"config = {{'ca_cert_location': {ca!r}, 'crl_location': {crl!r}}}\n")
    with contextlib.closing(Web(module_bus.host)) as web:
        yield web.start()


@pytest.fixture(autouse=True)
def whole(browser: Browser) -> Iterator[None]:
    """No test may make the page do what its policy forbids, or run what is not its own."""
    browser.size(1200, 900)
    yield
    assert browser.run("window.pwned") is None
    faults, browser.faults = browser.faults, []
    assert faults == []


def hostile(number: int) -> Message:
    body = {"topic": HOSTILE, "msg": {HOSTILE: HOSTILE}, "msg_id": f"2026-{number}-{HOSTILE}", "timestamp": 1}
    return HOSTILE.encode(), json.dumps(body, ensure_ascii=False).encode()


def publish(bus: Bus, *messages: Message) -> int:
    """Publish messages; get the number of the last one in the journal."""
    bus.pass_through(messages)
    return int(bus.relay.status()["journal"]["last"])


def text(browser: Browser, selector: str = "main") -> str:
    return str(browser.run(f"document.querySelector({json.dumps(selector)}).innerText"))


def test_one_look_says_whether_the_bus_is_well(shared_bus: Bus, web: Web, browser: Browser) -> None:
    publish(shared_bus, *numbered(30))
    browser.open(f"{web.url}/")
    assert text(browser, "h1").startswith("OK - received")
    assert browser.run("document.title").startswith("OK")
    seen = text(browser)
    listener = shared_bus.relay.status()["peers"]["listeners"][0]
    for words in (
        "Listeners: 1",
        listener,
        "Publishers: 1",
        "Last day:",
        "No message was dropped",
        "free of",
    ):
        assert words in seen
    hour = re.search(r"Last hour: ([\d,]+) messages", seen)
    assert hour
    assert int(hour[1].replace(",", "")) >= 30
    assert browser.run("document.querySelectorAll('figure svg rect').length") > 0


def test_messages_come_live_and_the_filter_holds(shared_bus: Bus, web: Web, browser: Browser) -> None:
    browser.open(f"{web.url}/")
    wait_until(lambda: text(browser, "#connection") == "connected", "the live stream is connected")
    publish(shared_bus, envelope("org.example.live.one", 1))
    wait_until(lambda: "org.example.live.one" in text(browser, "tbody"), "the message is shown")
    browser.run("document.getElementById('prefix').focus()")
    browser.write("org.example.live.w")
    browser.press("Enter", "\r")
    wait_until(lambda: "org.example.live.one" not in text(browser, "tbody"), "the filter holds")
    wait_until(lambda: text(browser, "#connection") == "connected", "the filtered stream is connected")
    publish(shared_bus, envelope("org.example.live.other", 1), envelope("org.example.live.wanted", 1))
    wait_until(lambda: "org.example.live.wanted" in text(browser, "tbody"), "the wanted message is shown")
    assert "org.example.live.other" not in text(browser, "tbody")


def test_hostile_topics_and_bodies_never_become_markup(shared_bus: Bus, web: Web, browser: Browser) -> None:
    browser.open(f"{web.url}/")
    wait_until(lambda: text(browser, "#connection") == "connected", "the live stream is connected")
    seq = publish(shared_bus, hostile(1))
    wait_until(lambda: "<script>window.pwned=1" in text(browser, "tbody"), "the topic is shown live, as text")
    assert "\u202e" not in text(browser, "tbody")
    for path in ("/", f"/search?topic={quote(HOSTILE)}", f"/message/{seq}"):
        browser.open(web.url + path)
        assert browser.run("document.querySelectorAll('main script, main img').length") == 0
    assert "<script>window.pwned=1" in text(browser, "pre")
    assert "\u202e" not in text(browser)
    page = web.get("/search", {"topic": HOSTILE, "start": HOSTILE, "id": ""})
    assert b"<script>window" not in page.body
    assert b"<img" not in page.body


def test_search_by_topic_and_by_msg_id_with_the_keyboard_alone(shared_bus: Bus, web: Web, browser: Browser) -> None:
    publish(shared_bus, envelope("org.example.sought", 7), *numbered(3))
    browser.open(f"{web.url}/search")
    for _ in range(5):  # the link to the content, three links of the header, and the topic
        browser.press("Tab")
    assert browser.run("document.activeElement.name") == "topic"
    browser.write("org.example.sought")
    browser.press("Enter", "\r")
    wait_until(lambda: "topic=org.example.sought" in browser.run("location.search"), "the form is sent")
    wait_until(lambda: browser.run("document.readyState") == "complete", "the search has an answer")
    assert browser.run("document.querySelectorAll('tbody tr').length") == 1
    answer = web.get("/search", {"id": "2026-sought-7"})
    assert answer.code == 303
    browser.open(web.url + answer.headers["location"])
    assert '"msg_id": "2026-sought-7"' in text(browser, "pre")
    assert "none: the message is not signed" in text(browser)


def test_a_message_has_its_signatures_state(shared_bus: Bus, web: Web, browser: Browser) -> None:
    topic = "org.example.test.signed"
    content = {"topic": topic, "msg": {"n": 1}, "msg_id": "2026-signed", "timestamp": 1, "i": 1}
    good = CA.issue("shell.example.org").sign(content)
    bad = good.replace(b'"n":1', b'"n":2')
    last = publish(shared_bus, (topic.encode(), good), (topic.encode(), bad))
    browser.open(f"{web.url}/message/{last - 1}")
    assert "valid, by shell.example.org" in text(browser)
    browser.open(f"{web.url}/message/{last}")
    assert "not trusted: signature-invalid" in text(browser)


def test_it_works_without_javascript(shared_bus: Bus, web: Web, browser: Browser) -> None:
    publish(shared_bus, *numbered(3))
    browser.scripts(enabled=False)
    try:
        browser.open(f"{web.url}/")
    finally:
        browser.scripts(enabled=True)
    assert text(browser, "h1").startswith("OK")
    assert "org.example.test.numbered" in text(browser, "tbody")
    assert browser.run("document.getElementById('filter').hidden")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_overflows_and_text_can_be_read(
    shared_bus: Bus, web: Web, browser: Browser, width: int, dark: bool
) -> None:
    last = publish(shared_bus, *numbered(3), envelope("org.example." + "x" * 200, 1))
    browser.size(width, 800, dark)
    for path in ("/", "/search", f"/message/{last}"):
        browser.open(web.url + path)
        assert browser.run("document.documentElement.scrollWidth") <= width, path
        assert browser.run(CONTRAST) == [], path


CONTRAST = """
(() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255)
      .map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const ground = (one) => {
    const colour = getComputedStyle(one).backgroundColor;
    return colour.endsWith(", 0)") && one.parentElement ? ground(one.parentElement) : colour;
  };
  return [...document.querySelectorAll("main *, nav *")]
    .filter((one) => one.checkVisibility())
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .filter((one) => {
      const pair = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => a - b);
      return (pair[1] + 0.05) / (pair[0] + 0.05) < 4.5;
    })
    .map((one) => one.outerHTML.slice(0, 100));
})()
"""
"""Elements whose text has less contrast than WCAG AA asks for."""


def test_the_policy_forbids_all_but_the_pages_own_files(web: Web) -> None:
    for path in ("/", "/search", "/message/999999999"):
        policy = web.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
    assert web.get("/static/../page.py").code == 404
    assert web.get("/static/secret").code == 404
    for name in ("base", "home", "search", "message"):
        source = (Path(__file__).parents[2] / f"src/fedmsg_relay/web/templates/{name}.html").read_text()
        assert not re.search(r"<script(?! src)|style=|\son\w+=|https?://|\|\s*safe", source)


def test_a_relay_that_is_down_is_said(host: Host, browser: Browser) -> None:
    with contextlib.closing(Web(host)) as web:
        browser.open(f"{web.start().url}/")
        assert "CRITICAL" in text(browser, "h1")
        assert "journal" in text(browser, ".fault")
        browser.open("about:blank")
        browser.faults.clear()  # the stream answers 503 without a journal, and the browser notes it


def test_what_cannot_be_found_is_said_on_the_page(shared_bus: Bus, web: Web) -> None:
    publish(shared_bus, *numbered(1))
    wait_until(lambda: web.get("/search", {"id": "2026-none"}).code == 404, "the index is complete")
    for path, code, said in (
        ("/search?id=2026-none", 404, "no message with this msg_id"),
        ("/search?start=abc", 400, "start must be Unix seconds or ISO 8601"),
        (f"/search?topic={'x' * 20_000}", 400, "more than 16384 bytes"),
        (f"/message/{'9' * 40}", 404, "The journal has no message"),
        (f"/message/{'9' * 5000}", 404, "The journal has no message"),
        ("/message/x", 404, "The journal has no message x"),
        ("/message/0", 404, "The journal has no message 0"),
    ):
        answer = web.get(path)
        assert (answer.code, said in answer.body.decode()) == (code, True), path
        assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_a_message_that_was_dropped_is_found_in_the_quarantine(shared_bus: Bus, web: Web) -> None:
    shared_bus.publisher.send(b"org.example.dropped", b'{"msg_id": "2026-<b>dropped", ')

    def found() -> str:
        answer = web.get("/search", {"id": "2026-<b>dropped"})
        return answer.body.decode() if answer.code == 200 else ""

    page = wait_until(found, "it is found")
    assert "In the quarantine: body-not-json at 20" in page
    assert "<b>" not in page


def test_a_message_shows_from_whom_it_is(shared_bus: Bus, web: Web) -> None:
    topic, body = numbered(1)[0]
    plain = publish(shared_bus, (topic, body))
    named = publish(shared_bus, (topic, json.dumps({**json.loads(body), "username": "<b>\u202e"}).encode()))
    assert "does not say" in web.get(f"/message/{plain}").body.decode()
    assert "names the user &lt;b&gt;\\u202e" in web.get(f"/message/{named}").body.decode()


def test_a_long_topic_is_cut_and_says_so(shared_bus: Bus, web: Web, browser: Browser) -> None:
    browser.open(f"{web.url}/")
    wait_until(lambda: text(browser, "#connection") == "connected", "the live stream is connected")
    seq = publish(shared_bus, (b"org.example.long." + b"x" * 100_000, b"{}"))
    wait_until(lambda: "x... (cut)" in text(browser, "tbody"), "it is shown live")
    assert len(text(browser, "tbody td.topic")) < 2000
    for path in ("/", "/search", f"/message/{seq}"):
        page = web.get(path).body.decode()
        assert "x... (cut)" in page, path
        assert "x" * 2000 not in page, path
