"""fedmsg-logger: stock's options and input forms, one line for every fault, and never a hang."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest

import stock
from harness import PATIENCE, Host, Ran, wait_until
from wire import Bus, Listener, Sockets, compare, join

END = "the last line"


def bodies(listener: Listener, count: int) -> list[dict[str, Any]]:
    """The next messages, decoded; more than that many are a fault."""
    wait_until(lambda: len(listener.hear(0.1)) >= count, f"{count} message(s)")
    taken = [json.loads(body) for _, body in listener.messages]
    assert len(taken) == count
    listener.forget()
    return taken


def log(bus: Bus, *options: str, stdin: str | bytes = b"") -> Ran:
    ran = bus.host.run("fedmsg-logger", *options, stdin=stdin)
    assert (ran.code, ran.stderr) == (0, "")
    return ran


def expect_logged(bus: Bus, expected: list[Any]) -> None:
    """Exactly these have come out as `msg`, in this order; one more message shows that no more come."""
    log(bus, "--message", END)

    def complete() -> bool:
        heard = bus.listener.hear(0.1)
        return len(heard) > len(expected) and any(END.encode() in frames[1] for frames in heard)

    wait_until(complete, f"{len(expected)} message(s) and the last one")
    came = [json.loads(body)["msg"] for _, body in bus.listener.messages]
    bus.listener.forget()
    compare([msg for msg in came if msg != {"log": END}], expected)


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
    """What stock sends for each case, all run at once because each sleeps."""
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
def test_what_is_not_json_ends_with_65_and_one_line(shared_bus: Bus, stdin: str | bytes) -> None:
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


@pytest.mark.parametrize(
    "options",
    [["--no-such-option"], ["--timeout", "soon"], ["--topic"], ["positional"], ["--io-threads", "x"]],
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
def test_signing_is_asked_for_so_nothing_is_sent(shared_bus: Bus, host: Host, options: list[str]) -> None:
    host.configure([shared_bus.host.inbound], [shared_bus.host.outbound], sign_messages=True)
    ran = host.run("fedmsg-logger", *options, stdin="{}\n")
    assert ran.code == 78
    assert "sign_messages" in ran.one_error_line()
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


def within(ran: Ran, seconds: float) -> None:
    """It gave up when it was told to, give or take what starting a process may cost on a busy machine."""
    assert seconds - 0.1 <= ran.seconds < seconds + 5


@pytest.mark.parametrize("stdin", ["one\n", "one\ntwo\n" * 500], ids=["one line", "many lines"])
def test_no_relay_is_one_line_saying_where_it_looked_in_the_time_given(host: Host, stdin: str) -> None:
    ran = host.run("fedmsg-logger", "--timeout", "1", stdin=stdin)
    assert ran.code == 69
    assert host.inbound in ran.one_error_line()
    within(ran, 1)


def test_a_host_name_that_does_not_exist_is_no_relay(host: Host) -> None:
    host.configure("tcp://relay.invalid:9941")
    ran = host.run("fedmsg-logger", "--timeout", "1", "--message", "x")
    assert ran.code == 69
    assert "tcp://relay.invalid:9941" in ran.one_error_line()
    assert ran.seconds < 6


def silent_server() -> socket.socket:
    """Accepts connections (the kernel does) and never says a word."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server


def address_of(server: socket.socket) -> str:
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_a_port_that_accepts_and_never_speaks_is_no_relay(host: Host) -> None:
    with silent_server() as server:
        host.configure(address_of(server))
        ran = host.run("fedmsg-logger", "--timeout", "1", "--message", "x")
        assert ran.code == 69
        assert address_of(server) in ran.one_error_line()
        within(ran, 1)


def test_a_relay_that_has_stopped_answering_is_no_relay(bus: Bus) -> None:
    bus.relay.running.send_signal(signal.SIGSTOP)
    ran = bus.host.run("fedmsg-logger", "--timeout", "1", "--message", "x")
    bus.relay.running.send_signal(signal.SIGCONT)
    assert ran.code == 69
    within(ran, 1)


def test_a_relay_that_stops_taking_half_way_is_reported_in_the_time_given(bus: Bus) -> None:
    lines = "".join(f"line {n} {'x' * 1000}\n" for n in range(30_000))
    source = bus.host.write("lines", lines)
    script = f"(head -n 1 {source}; read go < pipe; tail -n +2 {source}) | fedmsg-logger --timeout 2"
    bus.host.run("/usr/bin/mkfifo", "pipe")
    logger = bus.host.start("/bin/sh", "-c", script)
    wait_until(lambda: bus.listener.hear(0.1), "the first line")
    bus.relay.running.send_signal(signal.SIGSTOP)
    (bus.host.directory / "pipe").write_text("go\n")
    code = logger.wait(timeout=20)
    bus.relay.running.send_signal(signal.SIGCONT)
    assert code == 69
    assert bus.host.inbound in logger.stderr()
    assert "Traceback" not in logger.stderr()


class Writer:
    """Writes lines to a pipe beside the test, and shows how far it has come."""

    def __init__(self, pipe: IO[bytes], lines: list[bytes]) -> None:
        self.written = 0
        self._seen = (0, 0.0)
        self._pipe, self._lines = pipe, lines
        self.thread = threading.Thread(target=self._write, daemon=True)
        self.thread.start()

    def _write(self) -> None:
        for line in self._lines:
            self._pipe.write(line)
            self.written += 1
        self._pipe.flush()

    def stuck_or_done(self) -> bool:
        now = time.monotonic()
        if self._seen[0] != self.written or not self.written:
            self._seen = (self.written, now)
        return not self.thread.is_alive() or now - self._seen[1] > 0.5


def test_a_relay_that_pauses_costs_no_line(bus: Bus) -> None:
    text = "x" * 1000
    with bus.host.piped("fedmsg-logger") as pipe:
        pipe.write(b"first\n")
        pipe.flush()
        assert bodies(bus.listener, 1)[0]["msg"] == {"log": "first"}
        bus.relay.running.send_signal(signal.SIGSTOP)
        writer = Writer(pipe, [f"{n} {text}\n".encode() for n in range(30_000)])
        wait_until(writer.stuck_or_done, "the logger waits for the relay")
        bus.relay.running.send_signal(signal.SIGCONT)
        writer.thread.join(PATIENCE)
    expect_logged(bus, [{"log": f"{n} {text}"} for n in range(30_000)])


def test_a_relay_that_is_killed_with_a_message_unread_is_reported(bus: Bus) -> None:
    with bus.host.piped("fedmsg-logger", code=69) as pipe:
        pipe.write(b"first\n")
        pipe.flush()
        assert bodies(bus.listener, 1)[0]["msg"] == {"log": "first"}
        bus.relay.running.send_signal(signal.SIGSTOP)
        status = Path(f"/proc/{bus.relay.running.pid}/status")
        wait_until(lambda: "T (stopped)" in status.read_text(), "the relay has stopped")
        pipe.write(b"never read\n")
        pipe.flush()
        wait_until(lambda: unread(bus.host.inbound), "the message waits at the relay")
        bus.relay.kill()
        wait_until(lambda: not connections(bus.host.inbound), "everyone has noticed")


def connections(address: str) -> list[list[str]]:
    """What the kernel knows of connections to or from the port: state and queues."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    ended = {"06", "07", "0A"}  # TIME_WAIT, CLOSE, LISTEN
    return [row for row in rows if (row[1].endswith(port) or row[2].endswith(port)) and row[3] not in ended]


def unread(address: str) -> bool:
    """Whether a connection to the port has received what its program has not taken."""
    return any(int(row[4].partition(":")[2], 16) for row in connections(address))


def test_lines_after_a_restart_of_the_relay_arrive(bus: Bus) -> None:
    with bus.host.piped("fedmsg-logger") as lines:
        lines.write(b"before\n")
        lines.flush()
        assert bodies(bus.listener, 1)[0]["msg"] == {"log": "before"}
        assert bus.relay.stop() == 0
        bus.relay.start()
        join(bus.publisher, bus.listener)
        lines.write(b"after\n")
        lines.flush()
        assert bodies(bus.listener, 1)[0]["msg"] == {"log": "after"}


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


def test_every_address_that_was_tried_is_named(host: Host) -> None:
    tried = [host.inbound, f"tcp://127.0.0.1:{host.port()}"]
    host.configure(tried)
    ran = host.run("fedmsg-logger", "--timeout", "1", "--message", "x")
    assert ran.code == 69
    for address in tried:
        assert address in ran.one_error_line()


def dead_addresses(host: Host, server: socket.socket) -> Sequence[str]:
    return [f"tcp://127.0.0.1:{host.port()}", address_of(server), "tcp://relay.invalid:9941"]


def test_the_second_relay_is_used_when_the_first_is_dead(shared_bus: Bus, host: Host) -> None:
    with silent_server() as server:
        for n, dead in enumerate(dead_addresses(host, server)):
            host.configure([dead, shared_bus.host.inbound], [shared_bus.host.outbound])
            ran = host.run("fedmsg-logger", stdin=f"{n} one\n{n} two\n")
            assert (ran.code, ran.stderr) == (0, "")
            expect_logged(shared_bus, [{"log": f"{n} one"}, {"log": f"{n} two"}])


def test_with_two_relays_alive_a_message_goes_to_one_of_them(bus: Bus, host: Host, sockets: Sockets) -> None:
    second_in = f"tcp://127.0.0.1:{host.port()}"
    bus.host.write("relay.toml", f"[bind]\ninbound = ['{bus.host.inbound}', '{second_in}']\n")
    assert bus.relay.stop() == 0
    bus.relay.start()
    host.configure([bus.host.inbound, second_in], [bus.host.outbound])
    fresh = sockets.listener(bus.host.outbound)
    publisher = sockets.publisher(bus.host.inbound)
    join(publisher, fresh)
    for n in range(5):
        assert host.run("fedmsg-logger", "--message", str(n)).code == 0
    assert [body["msg"]["log"] for body in bodies(fresh, 5)] == [str(n) for n in range(5)]


def test_a_name_with_an_ipv6_and_an_ipv4_address_is_reached(shared_bus: Bus, host: Host) -> None:
    # The relay listens on IPv4 only, while localhost may well resolve to ::1 first.
    port = shared_bus.host.inbound.rpartition(":")[2]
    host.configure(f"tcp://localhost:{port}", [shared_bus.host.outbound])
    ran = host.run("fedmsg-logger", "--message", "by name")
    assert (ran.code, ran.stderr) == (0, "")
    expect_logged(shared_bus, [{"log": "by name"}])
