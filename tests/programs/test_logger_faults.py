"""fedmsg-logger: a fault of the input or of the config ends with one line, and says what was sent before it."""

from __future__ import annotations

import pytest

from bus import Bus, StartBus
from fedmsg_relay.errors import EX_UNAVAILABLE
from fedmsg_relay.submit import MAX_MESSAGES
from harness import Host, Ran, locate
from logged import expect_logged
from spooled import waiting

NOT_JSON = {
    "single quotes": "{'a': 1}",
    "nothing": "",
    "trailing garbage": '{"a": 1} x',
    "two values": '{"a": 1}\n{"a": 2}\n',
    "cut short": '{"a": ',
    "not UTF-8": b'{"a": "\xff"}',
    "nested 100,000 deep": "[" * 100_000 + "]" * 100_000,
}


@pytest.mark.parametrize("stdin", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_input_that_is_not_json_ends_with_65_and_one_line(shared_bus: Bus, stdin: str | bytes) -> None:
    ran = shared_bus.host.run("fedmsg-logger", "--json-input", stdin=stdin)
    assert ran.code == 65
    ran.one_error_line()
    expect_logged(shared_bus, [])


def test_a_message_that_is_not_json_ends_with_65_and_one_line(shared_bus: Bus) -> None:
    ran = shared_bus.host.run("fedmsg-logger", "--json-input", "--message", "{'a': 1}")
    assert ran.code == 65
    ran.one_error_line()
    expect_logged(shared_bus, [])


def test_a_message_over_the_size_limit_ends_with_65_and_one_line(shared_bus: Bus) -> None:
    ran = shared_bus.host.run("fedmsg-logger", stdin="x" * (17 * 2**20))
    assert ran.code == 65
    ran.one_error_line()
    expect_logged(shared_bus, [])


FAULTY = {"too large": b"x" * (17 * 2**20), "not UTF-8": b"\xff"}


@pytest.mark.parametrize("faulty", FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_line_is_named_and_how_many_were_sent_before_it(shared_bus: Bus, faulty: bytes) -> None:
    ran = shared_bus.host.run("fedmsg-logger", stdin=b"\n".join([b"a", b"b", faulty, b"d", b""]))
    assert ran.code == 65
    assert ran.one_error_line().endswith("stopped at line 3 of stdin, before it 2 were sent and 0 spooled")
    expect_logged(shared_bus, [{"log": "a"}, {"log": "b"}])


@pytest.mark.parametrize("faulty", FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_line_is_named_and_how_many_were_spooled_before_it(lonely: Host, faulty: bytes) -> None:
    ran = lonely.run("fedmsg-logger", stdin=b"\n".join([b"a", b"b", faulty, b"d", b""]))
    assert ran.code == 65
    assert ran.one_error_line().endswith("stopped at line 3 of stdin, before it 0 were sent and 2 spooled")
    assert len(waiting(lonely)) == 2


def without_end(host: Host, *options: str) -> Ran:
    """What fedmsg-logger makes of input that never ends, after two lines, with 400 MB of memory."""
    logger = " ".join([locate("fedmsg-logger"), *options])
    command = f"{{ echo 1; echo 2; cat /dev/zero; }} | {{ ulimit -v 400000; exec {logger}; }}"
    return host.run("/bin/sh", "-c", command)


def test_an_endless_line_stops_at_the_limit_and_earlier_lines_are_sent(shared_bus: Bus) -> None:
    ran = without_end(shared_bus.host)
    assert ran.code == 65
    said = "the line is larger than 16 MiB, not sent; stopped at line 3 of stdin, before it 2 were sent and 0 spooled"
    assert ran.one_error_line() == f"fedmsg-logger: {said}"
    expect_logged(shared_bus, [{"log": "1"}, {"log": "2"}])


def test_json_without_end_stops_at_the_limit_and_nothing_is_sent(shared_bus: Bus) -> None:
    ran = without_end(shared_bus.host, "--json-input")
    assert (ran.code, ran.one_error_line()) == (65, "fedmsg-logger: the input is larger than 16 MiB, not sent")
    expect_logged(shared_bus, [])


def test_without_memory_for_a_message_it_says_so_in_one_line(lonely: Host) -> None:
    command = f"ulimit -v 400000; exec {locate('fedmsg-logger')} --json-input"
    ran = lonely.run("/bin/sh", "-c", command, stdin=b"[" + b"[]," * 5_000_000 + b"[]]")
    assert (ran.code, ran.one_error_line()) == (EX_UNAVAILABLE, "fedmsg-logger: there is not enough memory")
    assert waiting(lonely) == []


def test_where_a_relay_refuses_a_line_the_batches_before_it_count_as_sent(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    host.write("relay.toml", "[limits]\nmax_message_size = 1024\n")
    bus = start_bus()
    host.write("lines", "x\n" * (MAX_MESSAGES + 1) + "y" * 2000 + "\n")
    ran = host.run("/bin/sh", "-c", "exec fedmsg-logger < lines")
    assert ran.code == 65
    assert f"stopped at line {MAX_MESSAGES + 1} of stdin, before it {MAX_MESSAGES} were sent" in ran.one_error_line()
    expect_logged(bus, [{"log": "x"}] * MAX_MESSAGES)


def test_a_topic_of_two_lines_ends_with_65_as_it_does_without_a_relay(shared_bus: Bus) -> None:
    ran = shared_bus.host.run("fedmsg-logger", "--message=x", "--topic=a\nb")
    assert ran.code == 65
    assert "the topic has a newline" in ran.one_error_line()
    expect_logged(shared_bus, [])


@pytest.mark.parametrize(
    "options",
    [
        *(["--no-such-option"], ["--timeout", "soon"], ["--topic"], ["positional"], ["--io-threads", "x"]),
        *(["--io-threads", "-1"], ["--io-threads", "99999999999"], ["--high-water-mark", "-1"]),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_64(host: Host, options: list[str]) -> None:
    ran = host.run("fedmsg-logger", "--message", "x", *options)
    assert ran.code == 64
    assert "Traceback" not in ran.stderr
    assert options[0] in ran.stderr


def test_help_teaches_by_example(host: Host) -> None:
    ran = host.run("fedmsg-logger", "--help")
    assert ran.code == 0
    assert "| fedmsg-logger" in ran.stdout


@pytest.mark.parametrize("options", [["--message", "x"], ["--json-input"], []], ids=str)
def test_signing_is_asked_for_and_cannot_be_done_so_nothing_is_sent(
    shared_bus: Bus, host: Host, options: list[str]
) -> None:
    host.configure([shared_bus.host.inbound], [shared_bus.host.outbound], sign_messages=True)
    ran = host.run("fedmsg-logger", *options, stdin="{}\n")
    assert ran.code == 78
    assert "cannot sign: certnames" in ran.one_error_line()
    expect_logged(shared_bus, [])


def test_a_config_without_a_relay_ends_with_78_and_one_line(host: Host) -> None:
    host.write("fedmsg.d/relay.py", "config = {'endpoints': {}}\n")
    ran = host.run("fedmsg-logger", "--message", "x")
    assert ran.code == 78
    assert "relay_inbound" in ran.one_error_line()


def test_no_config_at_all_ends_with_78_and_one_line(host: Host) -> None:
    (host.directory / "fedmsg.d" / "relay.py").unlink()
    ran = host.run("fedmsg-logger", "--message", "x")
    assert ran.code == 78
    ran.one_error_line()
