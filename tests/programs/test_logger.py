"""fedmsg-logger: stock's options and input forms, and stdin in any state."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

import stock
from bus import Bus
from harness import Host, locate, wait_until
from logged import bodies, expect_logged, log
from wire import Sockets

FORMS: dict[str, tuple[list[str], str | bytes, list[Any]]] = {
    "--message": (["--message", "hello there"], "", [{"log": "hello there"}]),
    "--message=": (["--message=hello there"], "", [{"log": "hello there"}]),
    "an abbreviated option": (["--mess", "hello"], "", [{"log": "hello"}]),
    "--message goes before stdin": (["--message", "hello"], "unread\n", [{"log": "hello"}]),
    "--message as JSON": (["--message", '{"a": [1, 2]}', "--json-input"], "", [{"a": [1, 2]}]),
    "an empty --message is none": (["--message", ""], "from stdin\n", [{"log": "from stdin"}]),
    "a message with a line end": (["--message", "one\ntwo"], "", [{"log": "one\ntwo"}]),
    "one line": ([], "hello\n", [{"log": "hello"}]),
    "one line without its end": ([], "hello", [{"log": "hello"}]),
    "several lines": ([], "one\ntwo\nthree\n", [{"log": "one"}, {"log": "two"}, {"log": "three"}]),
    "lines are stripped": ([], " \tone \r\n", [{"log": "one"}]),
    "blank lines are sent too": ([], "one\n\ntwo\n", [{"log": "one"}, {"log": ""}, {"log": "two"}]),
    "nothing on stdin is nothing sent": ([], "", []),
    "not ASCII": ([], "naïve 😀\n", [{"log": "naïve 😀"}]),
    "JSON on stdin": (["--json-input"], '{"a": {"b": null}}\n', [{"a": {"b": None}}]),
    "JSON over several lines": (["--json-input"], '{"a":\n 1,\n"b":\n2}\n', [{"a": 1, "b": 2}]),
    "JSON that is a list": (["--json-input"], "[1, 2]", [[1, 2]]),
    "JSON that is a string": (["--json-input"], '"text"', ["text"]),
    "JSON that is nothing becomes an empty object": (["--json-input"], "null", [{}]),
    "JSON text that looks like nothing else": (["--message", "{'a': 1}"], "", [{"log": "{'a': 1}"}]),
}


@pytest.mark.parametrize(("options", "stdin", "messages"), FORMS.values(), ids=FORMS.keys())
def test_an_input_form(shared_bus: Bus, options: list[str], stdin: str, messages: list[Any]) -> None:
    log(shared_bus, *options, stdin=stdin)
    expect_logged(shared_bus, messages)


SAME_AS_STOCK: dict[str, tuple[list[str], str]] = {
    "plain text": (["--message", "hello"], ""),
    "lines": ([], "one\n\n two \n"),
    "JSON": (["--json-input"], '{"z": 1, "a": [1.0, 1e5, "\\u00e9", null, true], "m": {"b": 1, "a": 2}}'),
    "an empty object": (["--json-input"], "{}"),
    "a falsy value": (["--json-input"], "0"),
    "NaN": (["--json-input"], "[NaN, Infinity, -Infinity]"),
    "duplicate keys": (["--json-input"], '{"a": 1, "a": 2}'),
    "a large number": (["--json-input"], '{"a": 123456789012345678901234567890, "b": -0.0}'),
    "a lone surrogate": (["--json-input"], '"\\ud800"'),
    "modname and topic": (["--message", "x", "--modname", "git", "--topic", "repo.update"], ""),
    "a topic that is not ASCII": (["--message", "x", "--topic", "тема"], ""),
    "an empty topic": (["--message", "x", "--topic", ""], ""),
    "an empty modname": (["--message", "x", "--modname", ""], ""),
    "another prefix": (["--message", "x", "--topic-prefix", "com.example"], ""),
    "a modname that has the prefix already": (["--message", "x", "--modname", "org.fedoraproject.x"], ""),
    "a modname that begins like the prefix": (["--message", "x", "--modname", "org.fedoraprojector"], ""),
    "a cert prefix": (["--message", "x", "--cert-prefix", "scm"], ""),
}


@pytest.fixture(scope="module")
def stocks_messages() -> Iterator[dict[str, list[tuple[bytes, ...]]]]:
    """The messages that stock sends for each case; all run at once because each sleeps."""
    with (
        contextlib.closing(Host()) as host,
        contextlib.closing(Sockets()) as sockets,
        ThreadPoolExecutor(len(SAME_AS_STOCK)) as pool,
    ):
        said = pool.map(partial(stock_says, host, sockets), SAME_AS_STOCK.values())
        yield dict(zip(SAME_AS_STOCK, said, strict=True))


def stock_says(host: Host, sockets: Sockets, case: tuple[list[str], str]) -> list[tuple[bytes, ...]]:
    address = f"tcp://127.0.0.1:{host.port()}"
    inbound = sockets.inbound(address)
    options, stdin = case
    only = str(only_config(host, address))
    inbound.hear_while(partial(stock.logger, host, "--config-filename", only, *options, stdin=stdin))
    return inbound.messages


def only_config(host: Host, address: str) -> Path:
    config = {"relay_inbound": [address], "endpoints": {}, "environment": "test"}
    return host.write(f"only-{address.rpartition(':')[2]}.py", f"config = {config!r}\n")


@pytest.mark.parametrize("case", SAME_AS_STOCK)
def test_the_message_is_that_of_stock(
    case: str, stocks_messages: dict[str, list[tuple[bytes, ...]]], host: Host, sockets: Sockets
) -> None:
    expected = stocks_messages[case]
    assert expected, "stock sent nothing"
    inbound = sockets.inbound(host.inbound)
    options, stdin = SAME_AS_STOCK[case]
    only = only_config(host, host.inbound)
    logger = partial(host.run, "fedmsg-logger", "--config-filename", only, *options, stdin=stdin)
    ran = inbound.hear_while(logger)
    assert (ran.code, ran.stderr) == (0, "")
    wait_until(lambda: len(inbound.hear(0.1)) >= len(expected), "as many messages as stock sent")
    assert [comparable(*frames) for frames in inbound.messages] == [comparable(*frames) for frames in expected]


def comparable(topic: bytes, body: bytes) -> tuple[bytes, str]:
    """Topic and the very text of the body, without what differs between any two messages."""
    message = json.loads(body)
    now, year = time.time(), time.gmtime().tm_year
    assert isinstance(message["timestamp"], int)
    assert abs(message["timestamp"] - now) < 60
    prefix, _, uuid = message["msg_id"].partition("-")
    assert int(prefix) in (year - 1, year, year + 1)
    assert len(uuid) == 36
    text = body.decode("ascii")
    return topic, text.replace(message["msg_id"], "ID").replace(str(message["timestamp"]), "TIME")


STOCKS_OPTIONS = """
from fedmsg.commands.logger import LoggerCommand
from fedmsg.config import build_parser
for action in build_parser(LoggerCommand.extra_args, "")._actions:
    if action.dest != "help":
        kind = "" if action.nargs == 0 else getattr(action.type, "__name__", "str")
        print(" ".join(action.option_strings), action.dest, kind, sep="|")
"""


def stocks_options(host: Host) -> list[tuple[str, str]]:
    rows = [row.split("|") for row in stock.python(host, STOCKS_OPTIONS).stdout.splitlines()]
    return [(option, kind) for options, _, kind in rows for option in options.split()]


def test_every_option_of_stock_is_taken_and_told(shared_bus: Bus) -> None:
    values = {"int": "1", "float": "5", "str": "value"}
    told = shared_bus.host.run("fedmsg-logger", "--help").stdout
    options = stocks_options(shared_bus.host)
    assert len(options) >= 13
    for option, kind in options:
        assert option in told
        if option in ("--message", "--print-config", "--config-filename", "--json-input"):
            continue  # these change what is done, and have tests of their own
        given = [option, values[kind]] if kind else [option]
        log(shared_bus, f"--message={option}", *given)
        expect_logged(shared_bus, [{"log": option}])


def test_print_config_prints_the_merged_config_and_sends_nothing(shared_bus: Bus) -> None:
    ours = log(shared_bus, "--print-config", "--message", "never sent").stdout
    stocks = stock.run(shared_bus.host, "fedmsg-logger", "--print-config").stdout
    ours_config, stocks_config = json.loads(ours), json.loads(stocks)
    for key in ("relay_inbound", "endpoints", "environment", "topic_prefix", "sign_messages", "zmq_enabled"):
        assert ours_config[key] == stocks_config[key]
    expect_logged(shared_bus, [])


def test_config_filename_names_the_relay(shared_bus: Bus, host: Host) -> None:
    only = host.configure([shared_bus.host.inbound], [shared_bus.host.outbound]).rename(host.directory / "x")
    ran = host.run("fedmsg-logger", "--config-filename", only, "--message", "by config")
    assert (ran.code, ran.stderr) == (0, "")
    expect_logged(shared_bus, [{"log": "by config"}])


def test_ten_thousand_lines_arrive_in_order(shared_bus: Bus) -> None:
    lines = [f"line {n}" for n in range(10_000)]
    log(shared_bus, stdin="\n".join(lines))
    expect_logged(shared_bus, [{"log": line} for line in lines])


def test_the_lines_of_one_run_are_numbered_from_one(shared_bus: Bus) -> None:
    log(shared_bus, stdin="a\nb\nc\n")
    assert [body["i"] for body in bodies(shared_bus.listener, 3)] == [1, 2, 3]


def test_a_megabyte_line_arrives(shared_bus: Bus) -> None:
    log(shared_bus, stdin="x" * 2**20 + "\n")
    expect_logged(shared_bus, [{"log": "x" * 2**20}])


def test_a_line_is_sent_when_it_comes_not_when_stdin_ends(shared_bus: Bus) -> None:
    # A log file piped through `tail -f` never ends.
    with shared_bus.host.piped("fedmsg-logger") as lines:
        for text in ("first", "second"):
            lines.write(f"{text}\n".encode())
            lines.flush()
            assert bodies(shared_bus.listener, 1)[0]["msg"] == {"log": text}


def test_a_message_goes_out_once(shared_bus: Bus) -> None:
    for n in range(5):
        log(shared_bus, "--message", str(n))
    expect_logged(shared_bus, [{"log": str(n)} for n in range(5)])


@pytest.mark.parametrize("redirection", ["<&-", "< /dev/null >&-", "< /dev/null 2>&-"])
def test_odd_standard_files_cause_no_traceback(shared_bus: Bus, redirection: str) -> None:
    ran = shared_bus.host.run("/bin/sh", "-c", f"fedmsg-logger {redirection}")
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) == (1 if ran.code else 0) or "2>&-" in redirection
    expect_logged(shared_bus, [])


@pytest.mark.parametrize("redirection", ["<&-", "< /dev/null >&-", "< /dev/null 2>&-"])
def test_a_message_is_sent_whatever_the_standard_files_are(shared_bus: Bus, redirection: str) -> None:
    ran = shared_bus.host.run("/bin/sh", "-c", f"fedmsg-logger --message hello {redirection}")
    assert (ran.code, ran.stderr) == (0, "")
    expect_logged(shared_bus, [{"log": "hello"}])


@contextlib.contextmanager
def not_blocking(host: Host, *options: str) -> Iterator[IO[bytes]]:
    """A logger whose stdin does not block: the pipe of a program with an event loop, which has started it."""
    command = [locate("fedmsg-logger"), *options]
    code = f"import os; os.set_blocking(0, False); os.execv({command[0]!r}, {command!r})"
    with host.piped("python", "-c", code) as pipe:
        yield pipe


def test_stdin_that_does_not_block_is_waited_for(shared_bus: Bus) -> None:
    with not_blocking(shared_bus.host) as lines:
        for text in ("first", "second"):
            lines.write(f"{text}\n".encode())
            lines.flush()
            assert bodies(shared_bus.listener, 1)[0]["msg"] == {"log": text}
            expect_logged(shared_bus, [])  # another logger has run by now


def test_json_on_a_stdin_that_does_not_block_is_waited_for(shared_bus: Bus) -> None:
    with not_blocking(shared_bus.host, "--json-input") as pipe:
        for part in (b'{"a"', b": 1", b"}"):
            pipe.write(part)
            pipe.flush()
            expect_logged(shared_bus, [])  # another logger has run by now
    expect_logged(shared_bus, [{"a": 1}])


@pytest.mark.parametrize("options", ["", "--json-input"])
def test_stdin_that_cannot_be_read_ends_with_65_and_one_line(shared_bus: Bus, options: str) -> None:
    ran = shared_bus.host.run("/bin/sh", "-c", f"exec fedmsg-logger {options} 0> write-only")
    assert ran.code == 65
    assert "stdin cannot be read" in ran.one_error_line()
    expect_logged(shared_bus, [])
