"""The spool: what no relay takes waits on the script's host, on disk, and is delivered in order, once."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fedmsg_relay import client, spool
from fedmsg_relay.errors import EX_DATAERR, EX_UNAVAILABLE
from harness import Host, Process, Ran, Relay, locate, wait_until
from wire import Bus, StartBus, compare

NAME = re.compile(r"\d{20}-\d+-\d+\.msg")
BOUND = 6.0
"""Seconds a script may take while no relay answers: 2 s of looking for one, and this machine's own slowness."""

WRITER, DELIVERER = 65534, 64321
"""Users of the tests that need two."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two other users")


@pytest.fixture
def lonely(host: Host) -> Host:
    """A host with a spool whose relay is down."""
    host.configure_submit()
    return host


def waiting(host: Host) -> list[Path]:
    """What waits, in order of delivery."""
    return sorted(path for path in host.spool.iterdir() if NAME.fullmatch(path.name))


def log(host: Host, text: str) -> Ran:
    return host.run("fedmsg-logger", "--message", text)


def publish(host: Host, text: str) -> Ran:
    script = f"import fedmsg_relay; r = fedmsg_relay.publish('log', {{'log': {text!r}}}, 'logger'); print(r.spooled)"
    return host.run("python", "-c", script)


def shell(host: Host, text: str) -> Ran:
    options = ["--modname=logger", "--topic=log", "--message", json.dumps({"log": text})]
    return host.run("fedmsg-spool", *options, env={"FEDMSG_SPOOL": str(host.spool)})


WAYS: dict[str, Callable[[Host, str], Ran]] = {"fedmsg-logger": log, "publish": publish, "fedmsg-spool": shell}


def deliver(host: Host, patience: float = 10) -> Ran:
    return host.run("fedmsg-relay", "spool", "deliver", "--patience", str(patience))


def expect_texts(bus: Bus, texts: list[str]) -> None:
    """Exactly these come out, in this order; one more message shows that no more come."""
    assert log(bus.host, "the end").stderr == "", "by now nothing waits any more"

    def ended() -> bool:
        return any(b"the end" in frames[1] for frames in bus.listener.hear(0.1))

    wait_until(ended, "the last message")
    came = [json.loads(frames[1])["msg"].get("log") for frames in bus.listener.messages]
    bus.listener.forget()
    compare(came, [*texts, "the end"])


def put(host: Host, content: bytes, name: str) -> Path:
    """Somebody else's file."""
    path = host.spool / name
    path.write_bytes(content)
    return path


def put_first(host: Host) -> Path:
    """Something waits already, so that nobody looks for the relay."""
    return put(host, message("first"), f"{0:020d}-1-1.msg")


def message(text: str, topic: str = "org.fedoraproject.test.logger.log") -> bytes:
    return spool.HEADER + f"message\n{topic}\n".encode() + json.dumps({"msg": {"log": text}}).encode()


# A message that no relay takes.


@pytest.mark.parametrize("way", WAYS)
def test_without_a_relay_a_script_ends_well_and_soon_and_the_message_is_on_disk(lonely: Host, way: str) -> None:
    ran = WAYS[way](lonely, "hello")
    assert ran.code == 0, ran.stderr
    assert ran.seconds < BOUND
    (path,) = waiting(lonely)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    if way == "fedmsg-logger":
        assert ran.one_error_line().startswith("fedmsg-logger: 1 spooled")
    if way == "publish":
        assert ran.stdout == f"{path}\n"


@pytest.mark.parametrize("way", ["fedmsg-logger", "publish"])
def test_from_python_the_file_holds_topic_and_body(lonely: Host, way: str) -> None:
    put_first(lonely)
    assert WAYS[way](lonely, "hello").code == 0
    header, topic, body = waiting(lonely)[1].read_bytes().split(b"\n", 2)
    assert (header, topic) == (b"fedmsg-spool 1 message", b"org.fedoraproject.test.logger.log")
    assert json.loads(body)["msg"] == {"log": "hello"}


def test_from_the_shell_the_file_holds_what_the_envelope_is_made_of(lonely: Host) -> None:
    assert shell(lonely, "hello").code == 0
    header, modname, topic, timestamp, msg_id, username, msg = waiting(lonely)[0].read_text().split("\n", 6)
    assert (header, modname, topic, json.loads(msg)) == ("fedmsg-spool 1 msg", "logger", "log", {"log": "hello"})
    assert timestamp.isdigit()
    assert re.fullmatch(r"\d{4}-[0-9a-f-]{36}", msg_id)
    assert username


@pytest.mark.parametrize("umask", ["000", "077"])
@pytest.mark.parametrize("command", ["fedmsg-logger --message x", "fedmsg-spool --modname a --topic b --message 1"])
def test_whatever_the_umask_the_group_can_read_and_others_not(lonely: Host, command: str, umask: str) -> None:
    put_first(lonely)
    ran = lonely.run("/bin/sh", "-c", f"umask {umask}; {command}", env={"FEDMSG_SPOOL": str(lonely.spool)})
    assert ran.code == 0, ran.stderr
    (_, path) = waiting(lonely)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_all_lines_of_stdin_are_spooled_in_order(lonely: Host) -> None:
    ran = lonely.run("fedmsg-logger", stdin="".join(f"{n}\n" for n in range(100)))
    assert (ran.code, ran.one_error_line()[:27]) == (0, "fedmsg-logger: 100 spooled,")
    assert ran.seconds < BOUND
    spooled = [json.loads(path.read_bytes().split(b"\n", 2)[2])["msg"]["log"] for path in waiting(lonely)]
    compare(spooled, [str(n) for n in range(100)])


# Order.


def test_what_comes_next_goes_behind_what_waits_and_everything_arrives_once_in_order(
    host: Host, start_bus: StartBus
) -> None:
    host.configure_submit()
    texts = []
    for round_number in range(2):
        for way, send in WAYS.items():
            texts.append(f"{way} {round_number}")
            assert send(host, texts[-1]).code == 0
    bus = start_bus()
    # The relay is there again, but something waits.
    assert "1 spooled" in log(host, "behind them").one_error_line()
    listed = host.run("fedmsg-relay", "spool", "ls")
    assert listed.stdout.splitlines() == ["7 waiting", *(path.name for path in waiting(host))]
    ran = deliver(host)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "delivered 7, refused 0\n", "")
    assert waiting(host) == []
    expect_texts(bus, [*texts, "behind them"])


def test_over_inbound_everything_arrives_in_order_too(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    host.configure(relay_spool=str(host.spool))  # no relay_submit
    for number in range(3):
        assert shell(host, str(number)).code == 0
    bus = start_bus()
    assert deliver(host).code == 0
    expect_texts(bus, ["0", "1", "2"])


def test_more_than_one_lot_arrives_in_order(submit_bus: Bus) -> None:
    for number in range(250):
        put(submit_bus.host, message(str(number)), f"{number:020d}-1-1.msg")
    ran = deliver(submit_bus.host)
    assert ran.stdout == "delivered 250, refused 0\n"
    expect_texts(submit_bus, [str(number) for number in range(250)])


def test_what_the_shell_spooled_gets_the_configs_prefix_and_the_time_when_it_was_said(submit_bus: Bus) -> None:
    assert shell(submit_bus.host, "hello").code == 0
    timestamp, msg_id = waiting(submit_bus.host)[0].read_text().split("\n")[3:5]
    assert deliver(submit_bus.host).code == 0
    wait_until(lambda: submit_bus.listener.hear(0.1), "the message")
    ((topic, body),) = submit_bus.listener.messages
    assert topic == b"org.fedoraproject.test.logger.log"
    envelope = json.loads(body)
    assert (envelope["timestamp"], envelope["msg_id"]) == (int(timestamp), msg_id)


# Delivery.


def test_without_a_relay_the_files_stay(lonely: Host) -> None:
    assert shell(lonely, "one").code == shell(lonely, "two").code == 0
    before = [(path.name, path.read_bytes()) for path in waiting(lonely)]
    ran = deliver(lonely, patience=1)
    assert ran.code == EX_UNAVAILABLE
    assert ran.seconds < BOUND
    assert "2 stay" in ran.one_error_line()
    assert [(path.name, path.read_bytes()) for path in waiting(lonely)] == before


def test_it_goes_on_trying_until_the_relay_is_there(host: Host, relay: Relay) -> None:
    host.configure_submit()
    assert shell(host, "patience").code == 0
    delivery = host.start("fedmsg-relay", "spool", "deliver", "--patience", "30")
    relay.start()
    assert delivery.wait() == 0, delivery.stderr()
    assert waiting(host) == []


def test_an_empty_spool_is_delivered_at_once(lonely: Host) -> None:
    ran = deliver(lonely)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "delivered 0, refused 0\n", "")


def test_no_spool_is_said_in_one_line(lonely: Host) -> None:
    for command in ("ls", "deliver"):
        ran = lonely.run("fedmsg-relay", "spool", command, "--spool", "/nowhere")
        assert ran.code != 0
        assert "/nowhere" in ran.one_error_line()


def test_json_for_scripts(submit_bus: Bus) -> None:
    host = submit_bus.host
    assert shell(host, "one").code == 0
    listed = json.loads(host.run("fedmsg-relay", "spool", "ls", "--json").stdout)
    assert listed == {"spool": str(host.spool), "waiting": [path.name for path in waiting(host)]}
    assert json.loads(host.run("fedmsg-relay", "spool", "deliver", "--json").stdout) == {"delivered": 1, "refused": 0}


def test_a_delivery_that_was_killed_before_it_removed_the_files_publishes_nothing_twice(submit_bus: Bus) -> None:
    host = submit_bus.host
    for number in range(3):
        assert shell(host, str(number)).code == 0
    copy = host.directory / "copy"
    shutil.copytree(host.spool, copy)
    assert deliver(host).code == 0
    for path in copy.iterdir():  # as it was between the receipt and the unlink
        shutil.copy2(path, host.spool)
    ran = deliver(host)
    assert (ran.code, ran.stdout) == (0, "delivered 3, refused 0\n")
    assert waiting(host) == []
    expect_texts(submit_bus, ["0", "1", "2"])
    assert submit_bus.relay.messages()["duplicates"] == 3


def test_of_two_deliveries_at_once_the_second_says_so(lonely: Host) -> None:
    assert shell(lonely, "x").code == 0
    first = lonely.start("fedmsg-relay", "spool", "deliver", "--patience", "30")
    wait_until((lonely.spool / "refused" / ".lock").exists, "the first has begun")

    def second_is_refused() -> bool:
        ran = deliver(lonely, patience=1)
        return ran.code == EX_UNAVAILABLE and "somebody else is delivering it" in ran.one_error_line()

    wait_until(second_is_refused, "the second is refused")
    assert first.alive()
    first.stop(signal.SIGKILL)
    assert "1 stay" in deliver(lonely, patience=1).one_error_line(), "the lock went with its holder"


# What is no message of ours: anybody can write into the spool.


def fifo(host: Host) -> Path:
    os.mkfifo(host.spool / "00000000000000000002-1-1.msg")
    return host.spool / "00000000000000000002-1-1.msg"


def link(host: Host) -> Path:
    outside = host.write("secret", message("a secret").decode())
    path = host.spool / "00000000000000000003-1-1.msg"
    path.symlink_to(outside)
    return path


def hard_link(host: Host) -> Path:
    outside = host.write("secret", message("a secret").decode())
    path = host.spool / "00000000000000000004-1-1.msg"
    path.hardlink_to(outside)
    return path


def folder(host: Host) -> Path:
    path = host.spool / "00000000000000000005-1-1.msg"
    (path / "full").mkdir(parents=True)
    return path


def dangling(host: Host) -> Path:
    path = host.spool / "00000000000000000006-1-1.msg"
    path.symlink_to("/nowhere")
    return path


NO_FILES = [fifo, link, hard_link, folder, dangling]
FIELDS = b"msg\nlogger\nlog\n1\n2026-x\nsomebody\n"
BAD_CONTENT = {
    "nothing": b"",
    "garbage": b"\x00\xff garbage\n",
    "another version": b"fedmsg-spool 2 message\ntopic\n{}",
    "another kind": spool.HEADER + b"letter\ntopic\n{}",
    "no body": spool.HEADER + b"message\ntopic",
    "a body that is not JSON": spool.HEADER + b"message\ntopic\nhello",
    "a topic that is not UTF-8": spool.HEADER + b"message\n\xff\n{}",
    "a body nested too deep": spool.HEADER + b"message\ntopic\n" + b"[" * 100_000 + b"]" * 100_000,
    "lines are missing": spool.HEADER + b"msg\nlogger\nlog",
    "a time that is none": spool.HEADER + b"msg\nlogger\nlog\nnow\n2026-x\nsomebody\n{}",
    "a name that is not UTF-8": spool.HEADER + b"msg\nlogger\n\xff\n1\n2026-x\nsomebody\n{}",
    "msg that is not JSON": spool.HEADER + FIELDS + b"hello",
    "msg nested too deep": spool.HEADER + FIELDS + b"[" * 100_000 + b"]" * 100_000,
    "too large": spool.HEADER + b"message\ntopic\n" + b'"' + b"x" * (17 * 1024 * 1024) + b'"',
}


def test_links_fifos_and_folders_are_never_delivered_and_hold_up_nothing(submit_bus: Bus) -> None:
    host = submit_bus.host
    odd = [make(host) for make in NO_FILES]
    assert shell(host, "good").code == 0
    ran = deliver(host)
    assert "Traceback" not in ran.stderr
    assert "delivered 1," in ran.stdout
    refused = host.spool / "refused"
    for path in odd:
        assert os.path.lexists(path) or os.path.lexists(refused / path.name)
    # Moved, not followed: what a link led to is as it was.
    assert (host.directory / "secret").read_bytes() == message("a secret")
    expect_texts(submit_bus, ["good"])


def test_what_can_not_be_delivered_is_set_aside_and_the_rest_is_delivered(submit_bus: Bus) -> None:
    host = submit_bus.host
    bad = [put(host, content, f"{2 * n:020d}-1-1.msg").name for n, content in enumerate(BAD_CONTENT.values())]
    good = [str(n) for n in range(len(bad))]
    for n, text in enumerate(good):
        put(host, message(text), f"{2 * n + 1:020d}-1-1.msg")
    ran = deliver(host)
    assert ran.code == EX_DATAERR
    assert ran.stdout == f"delivered {len(good)}, refused {len(bad)}\n"
    assert [line for line in ran.stderr.splitlines() if "is set aside: " not in line] == []
    assert [name for name in bad if name not in ran.stderr] == []
    aside = {path.name: path.read_bytes() for path in (host.spool / "refused").iterdir() if path.name[0] != "."}
    assert aside == dict(zip(bad, BAD_CONTENT.values(), strict=True))
    assert stat.S_IMODE((host.spool / "refused").stat().st_mode) & 0o077 == 0
    expect_texts(submit_bus, good)


def test_what_the_relays_own_limit_refuses_is_set_aside_too(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    host.write("relay.toml", "[limits]\nmax_message_size = 4096\n")
    bus = start_bus()
    for n, text in enumerate(["one", "x" * 5000, "two"]):
        put(host, message(text), f"{n:020d}-1-1.msg")
    ran = deliver(host)
    assert (ran.code, ran.stdout) == (EX_DATAERR, "delivered 2, refused 1\n")
    assert "too-large" in ran.one_error_line()
    expect_texts(bus, ["one", "two"])


@pytest.mark.parametrize("name", [".00000000000000000001-1-1.msg", "README", "1.msg.tmp", "one\nline\x1b.msg"])
def test_other_names_are_ignored(submit_bus: Bus, name: str) -> None:
    path = put(submit_bus.host, message("ignored"), name)
    assert shell(submit_bus.host, "good").code == 0
    ran = deliver(submit_bus.host)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "delivered 1, refused 0\n", "")
    assert path.read_bytes() == message("ignored")
    expect_texts(submit_bus, ["good"])


def test_a_name_that_is_not_utf8_breaks_no_listing(lonely: Host) -> None:
    Path(os.fsdecode(os.fsencode(lonely.spool) + b"/\xff\xfe.msg")).touch()
    ran = lonely.run("fedmsg-relay", "spool", "ls", env={"PYTHONIOENCODING": "utf-8:strict"})
    assert (ran.code, ran.stderr) == (0, "")


def test_somebody_elses_refused_stops_the_delivery_and_it_says_so(submit_bus: Bus) -> None:
    host = submit_bus.host
    (host.spool / "refused").symlink_to(host.directory / "home")
    put(host, b"garbage", "00000000000000000001-1-1.msg")
    ran = deliver(host)
    assert ran.code == EX_UNAVAILABLE
    assert "refused" in ran.one_error_line()
    assert list((host.directory / "home").iterdir()) == []


# A spool that takes nothing more.


@pytest.mark.parametrize("way", WAYS)
def test_a_full_spool_is_an_error_that_says_so(lonely: Host, way: str) -> None:
    for number in range(10_000):
        (lonely.spool / f"{number:020d}-1-1.msg").touch()
    ran = WAYS[way](lonely, "one too many")
    assert len(waiting(lonely)) == 10_000
    if way == "publish":
        assert ran.code == 1
        assert ran.stderr.splitlines()[-1].startswith("fedmsg_relay.spool.SpoolError: ")
    else:
        assert ran.code == EX_UNAVAILABLE
        assert ran.one_error_line()
    assert re.search(r"the spool \S+ is full .*not sent", ran.stderr)


def test_bytes_are_limited_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_BYTES", 1000)
    (first,) = spool.add(str(tmp_path), [(b"t", b"x" * 800)])
    with pytest.raises(spool.SpoolError, match="is full"):
        spool.add(str(tmp_path), [(b"t", b"x" * 300)])
    assert [str(path) for path in tmp_path.iterdir()] == [first]


def test_a_batch_that_does_not_fit_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_FILES", 3)
    with pytest.raises(spool.SpoolError, match="is full"):
        spool.add(str(tmp_path), [(b"t", b"{}")] * 4)
    assert list(tmp_path.iterdir()) == []


def test_names_stay_in_order_when_the_clock_steps_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = spool.add(str(tmp_path), [(b"t", b"1")])
    monkeypatch.setattr("fedmsg_relay.spool.time.time_ns", lambda: 10**18)
    added += spool.add(str(tmp_path), [(b"t", b"2")] * 20)
    assert [str(tmp_path / name) for name in spool.pending(str(tmp_path))] == added


def test_no_spool_is_no_relay(lonely: Host) -> None:
    lonely.configure_submit(spool="/nowhere")
    ran = lonely.run("fedmsg-logger", "--message", "x", "--timeout", "1")
    assert ran.code == EX_UNAVAILABLE
    assert "no relay answered within 1 s" in ran.one_error_line()
    ran = lonely.run("fedmsg-spool", "--topic=a", "--modname=b", "--message=1", env={"FEDMSG_SPOOL": "/nowhere"})
    assert ran.code == EX_UNAVAILABLE
    assert "/nowhere" in ran.one_error_line()


USAGE = {
    "an option it does not know": (["--no-such"], 64),
    "an option without its value": (["--modname=b", "--topic"], 64),
    "no topic": (["--modname=b", "--message=1"], 64),
    "no modname": (["--topic=a", "--message=1"], 64),
    "a topic of two lines": (["--topic=a\nb", "--modname=b", "--message=1"], 64),
    "no message": (["--topic=a", "--modname=b"], 65),
    "an empty message": (["--topic=a", "--modname=b", "--message="], 65),
}


@pytest.mark.parametrize(("options", "code"), USAGE.values(), ids=USAGE.keys())
def test_fedmsg_spool_says_what_is_wrong_in_one_line(lonely: Host, options: list[str], code: int) -> None:
    ran = lonely.run("fedmsg-spool", *options, env={"FEDMSG_SPOOL": str(lonely.spool)})
    assert ran.code == code
    assert ran.one_error_line().startswith("fedmsg-spool: ")
    assert list(lonely.spool.iterdir()) == []


# Several users, and many scripts at once.


def as_user(host: Host, user: int, *command: str | Path) -> Ran:
    ids = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return host.run("/usr/bin/setpriv", *ids, *command, env={"FEDMSG_SPOOL": str(host.spool)})


@pytest.fixture
def shared(lonely: Host) -> Host:
    """A host whose spool belongs to who delivers it; anybody can run a copy of fedmsg-spool there."""
    os.chown(lonely.spool, DELIVERER, DELIVERER)
    lonely.spool.chmod(0o3777)
    shutil.copy(locate("fedmsg-spool"), lonely.directory / "fedmsg-spool")
    return lonely


@as_root
def test_a_user_without_a_name_can_spool_and_who_delivers_can_read_and_remove_it(shared: Host) -> None:
    options = ["--topic=a", "--modname=b", "--message={}"]
    ran = as_user(shared, 54321, shared.directory / "fedmsg-spool", *options)
    assert (ran.code, ran.stderr) == (0, "")
    (path,) = waiting(shared)
    assert (path.stat().st_uid, path.stat().st_gid) == (54321, DELIVERER)
    assert as_user(shared, DELIVERER, "/bin/cat", path).code == 0
    assert as_user(shared, DELIVERER, "/bin/rm", path).code == 0


@as_root
def test_a_user_can_neither_read_nor_remove_nor_replace_what_others_spooled(shared: Host) -> None:
    put_first(shared)
    assert log(shared, "root's").code == 0
    (_, path) = waiting(shared)
    before = path.read_bytes()
    program = shared.directory / "fedmsg-spool"
    assert as_user(shared, WRITER, program, "--topic=a", "--modname=b", "--message={}").code == 0
    commands: list[list[str | Path]] = [["/bin/rm", "-f", path], ["/bin/mv", path, f"{path}.gone"], ["/bin/cat", path]]
    for command in commands:
        assert as_user(shared, WRITER, *command).code != 0, command
    assert path.read_bytes() == before
    assert len(waiting(shared)) == 3


@as_root
def test_a_spool_that_a_user_may_not_write_to_takes_nothing_of_theirs(shared: Host) -> None:
    shared.spool.chmod(0o755)
    ran = as_user(shared, WRITER, shared.directory / "fedmsg-spool", "--topic=a", "--modname=b", "--message={}")
    assert ran.code == EX_UNAVAILABLE
    assert "may write to" in ran.one_error_line()
    assert waiting(shared) == []


def test_what_twenty_scripts_spool_at_once_arrives_complete_and_once(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    put_first(host)
    options = ["--modname=logger", "--topic=log"]
    scripts: list[Process] = []
    for number in range(10):
        text = json.dumps({"log": f"sh {number}"})
        env = {"FEDMSG_SPOOL": str(host.spool)}
        scripts.append(host.start("fedmsg-spool", *options, "--message", text, env=env))
        scripts.append(host.start("fedmsg-logger", "--message", f"py {number}"))
    assert [script.wait() for script in scripts] == [0] * 20
    texts = {"first", *(f"sh {n}" for n in range(10)), *(f"py {n}" for n in range(10))}
    bus = start_bus()
    assert deliver(host).stdout == "delivered 21, refused 0\n"
    wait_until(lambda: len(bus.listener.hear(0.1)) >= 21, "21 messages")
    assert sorted(json.loads(body)["msg"]["log"] for _, body in bus.listener.messages) == sorted(texts)


def test_scripts_may_spool_while_it_is_delivered(submit_bus: Bus) -> None:
    host = submit_bus.host
    done = threading.Event()
    faults: list[Ran] = []

    def go_on_delivering() -> None:
        while not done.is_set():
            ran = deliver(host)
            if ran.code:
                faults.append(ran)

    delivering = threading.Thread(target=go_on_delivering)
    delivering.start()
    try:
        texts = []
        for number in range(200):
            texts.append(str(number))
            body = client.encode({"topic": "t", "msg": {"log": texts[-1]}, "msg_id": f"2026-{number}"})[1]
            spool.add(str(host.spool), [(b"t", body)])
    finally:
        done.set()
        delivering.join()
    assert faults == []
    assert deliver(host).code == 0
    expect_texts(submit_bus, texts)
