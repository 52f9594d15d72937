"""status, probe and endpoints: the commands of an operator, of Nagios and of shell scripts."""

from __future__ import annotations

import json
import re
import resource
import signal
import socket
import time
from datetime import datetime

import pytest

from fedmsg_relay.errors import EX_IOERR
from harness import PATIENCE, SILENT_RESOLVER, Host, wait_until
from ports import occupied
from relays import Relay
from spooled import waiting
from wire import Bus, numbered

REASONS = {
    *("frame-count", "topic-not-utf8", "body-not-utf8", "body-not-json", "too-deep", "too-large"),
    *("bad-request", "bad-version", "batch-too-large"),
    *("unsigned", "crypto-unknown", "signature-malformed", "certificate-malformed", "certificate-untrusted"),
    *("certificate-expired", "certificate-revoked", "signature-invalid", "topic-mismatch", "not-permitted"),
    *("no-policy", "source-not-allowed", "trust-unusable"),
}
PERFDATA = re.compile(r"([^= ]+|'[^']+')=[-0-9.]+(s|ms|us|[KMGT]?B|c|%)?(;[^; ]*){0,4}")


def nagios(text: str, word: str) -> str:
    """Check the plugin convention of the first line, and return its text."""
    first = text.splitlines()[0]
    said, _, performance = first.partition("|")
    assert re.search(rf"\b{word}\b", said), first
    for item in performance.split():
        assert PERFDATA.fullmatch(item), item
    return said


def test_status_of_a_running_relay_is_ok_in_one_line_first(bus: Bus) -> None:
    ran = bus.host.run("fedmsg-relay", "status")
    assert (ran.code, ran.stderr) == (0, "")
    nagios(ran.stdout, "OK")
    assert "|" in ran.stdout.splitlines()[0], "performance data for graphs"
    assert bus.host.inbound in ran.stdout
    assert bus.host.outbound in ran.stdout


def test_status_as_json_has_everything_a_monitor_wants(bus: Bus) -> None:
    started = time.time()
    status = bus.relay.status()
    assert set(status) >= {
        "relay",
        "endpoints",
        "settings",
        "messages",
        "dropped",
        "journal",
        "laggards",
        "peers",
        "connections",
    }
    assert set(status["relay"]) >= {"version", "pid", "started", "uptime"}
    assert status["relay"]["pid"] == bus.relay.pid
    assert 0 <= status["relay"]["uptime"] < 600
    assert status["endpoints"] == {"inbound": [bus.host.inbound], "outbound": [bus.host.outbound], "submit": []}
    assert set(status["dropped"]) == REASONS
    assert set(status["dropped"].values()) == {0}
    assert len(status["peers"]["publishers"]) == 1
    assert len(status["peers"]["listeners"]) == 1
    assert set(status["connections"]) >= {"accepted", "closed", "handshake_failed"}
    assert status["messages"]["received"] == status["messages"]["published"] >= 1
    assert status["relay"]["version"] in bus.host.run("fedmsg-relay", "--version").stdout
    assert started - 600 < as_seconds(status["relay"]["started"]) < started + 1


def as_seconds(moment: str | float) -> float:
    if isinstance(moment, str):
        return datetime.fromisoformat(moment).timestamp()
    return moment


def test_status_counts_as_messages_pass(bus: Bus) -> None:
    before = bus.relay.status()["messages"]
    bus.publisher.send_all(numbered(7))
    bus.listener.expect(numbered(7))
    after = bus.relay.status()["messages"]
    changed = {key: after[key] - before[key] for key in ("received", "published", "dropped")}
    assert changed == {"received": 7, "published": 7, "dropped": 0}


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_status_of_no_relay_is_critical(host: Host, options: list[str]) -> None:
    ran = host.run("fedmsg-relay", "status", *options)
    assert ran.code == 2
    assert "Traceback" not in ran.stderr
    if options:
        json.loads(ran.stdout)
    else:
        nagios(ran.stdout, "CRITICAL")


def elsewhere(host: Host) -> dict[str, str]:
    """What a relay host has, under names of which nothing is there; the config names a relay of another host."""
    host.configure(["tcp://192.0.2.7:9941"], ["tcp://192.0.2.7:3999"])
    return {name: str(host.directory / "none" / name) for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY")}


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_status_on_a_host_without_a_relay_says_where_the_relay_is(host: Host, options: list[str]) -> None:
    ran = host.run("fedmsg-relay", "status", *options, env=elsewhere(host))
    assert (ran.code, ran.stderr) == (3, "")
    line = json.loads(ran.stdout)["summary"] if options else ran.stdout.rstrip()
    assert line.removeprefix("UNKNOWN - ") == "no relay runs on this host; the config names tcp://192.0.2.7:9941"


def test_status_on_a_host_without_a_relay_and_without_a_config_says_so(host: Host) -> None:
    environment = elsewhere(host)
    (host.directory / "fedmsg.d" / "relay.py").unlink()
    ran = host.run("fedmsg-relay", "status", env=environment)
    assert ran.code == 3
    assert "no relay runs on this host, and its config names none: " in nagios(ran.stdout, "UNKNOWN")


@pytest.mark.parametrize("what", ["runtime directory", "journal", "address"])
def test_status_on_a_host_that_should_have_a_relay_is_critical(host: Host, what: str) -> None:
    environment = elsewhere(host)
    if what == "runtime directory":
        (host.directory / "none" / "RUNTIME_DIRECTORY").mkdir(parents=True)
    elif what == "journal":
        host.write("none/STATE_DIRECTORY/journal.db", "")
    else:
        host.configure()
    ran = host.run("fedmsg-relay", "status", env=environment)
    assert ran.code == 2
    path = host.directory / "none" / "RUNTIME_DIRECTORY" / "status.sock"
    assert ran.stdout == f"CRITICAL - the relay of this host does not answer at {path}: No such file or directory\n"


def test_status_does_not_wait_for_a_resolver_that_stays_silent(host: Host) -> None:
    environment = elsewhere(host)
    host.configure(["tcp://relay.example.org:9941"])
    host.write("silent/sitecustomize.py", SILENT_RESOLVER)
    ran = host.run("fedmsg-relay", "status", env={**environment, "PYTHONPATH": str(host.directory / "silent")})
    assert ran.code == 3
    assert ran.within(5)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("answer", ["{}", "[]", "null", "5", '"x"', '{"messages": []}', "[" * 100_000, "x"])
def test_a_status_that_is_none_is_said_in_one_line(host: Host, answer: str, options: list[str]) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(host.directory / "run" / "status.sock"))
        other.listen()
        other.settimeout(PATIENCE)
        asking = host.start("fedmsg-relay", "status", *options)
        reader, _ = other.accept()
        with reader:
            reader.sendall(answer.encode())
        code = asking.wait()
    assert code == (2 if answer[0] in "x[" and answer != "[]" else 3)
    assert asking.stderr() == ""
    (line,) = asking.stdout().splitlines()
    if options:
        assert json.loads(line)["ok"] is False
    else:
        nagios(line, "CRITICAL" if code == 2 else "UNKNOWN")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_status_after_the_end_is_critical(bus: Bus, end: signal.Signals) -> None:
    bus.relay.running.send_signal(end)
    bus.relay.running.wait()
    ran = bus.host.run("fedmsg-relay", "status")
    assert ran.code == 2
    nagios(ran.stdout, "CRITICAL")


def test_a_relay_starts_over_what_a_killed_one_left(bus: Bus) -> None:
    bus.relay.kill()
    bus.relay.start()
    assert bus.relay.status()["relay"]["pid"] == bus.relay.pid


def test_status_of_a_relay_that_stands_still_is_critical_and_does_not_hang(bus: Bus) -> None:
    bus.relay.running.send_signal(signal.SIGSTOP)
    ran = bus.host.run("fedmsg-relay", "status")
    bus.relay.running.send_signal(signal.SIGCONT)
    assert ran.code == 2
    nagios(ran.stdout, "CRITICAL")


def test_status_answers_again_once_there_are_file_descriptors_left(bus: Bus) -> None:
    _, hard = resource.prlimit(bus.relay.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(bus.relay.pid, resource.RLIMIT_NOFILE, (10, hard))  # poll(2) takes no more either
    bus.relay.messages()  # takes the one that accept(2), waiting, had already got
    bus.relay.wait_for_log("ERROR", "status cannot be answered")
    resource.prlimit(bus.relay.pid, resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(2):
        assert bus.relay.messages()["received"] >= 1
    assert bus.relay.stop() == 0


def test_someone_who_connects_to_the_status_and_says_nothing_blocks_nobody(bus: Bus) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(bus.host.directory / "run" / "status.sock"))
        assert bus.host.run("fedmsg-relay", "status").code == 0
        bus.publisher.send_all(numbered(3))
        bus.listener.expect(numbered(3))


def test_probe_sends_a_real_message_through(bus: Bus) -> None:
    before = bus.relay.status()["messages"]["published"]
    ran = bus.host.run("fedmsg-relay", "probe")
    assert (ran.code, ran.stderr) == (0, "")
    nagios(ran.stdout, "OK")
    assert bus.relay.status()["messages"]["published"] > before
    bus.publisher.send_all(numbered(1))
    bus.listener.wait_for(numbered(1)[0])


def test_probe_as_json(bus: Bus) -> None:
    ran = bus.host.run("fedmsg-relay", "probe", "--json")
    assert ran.code == 0, ran.stderr
    assert bus.host.inbound in json.dumps(json.loads(ran.stdout))


def test_probe_goes_through_every_inbound_address(host: Host, relay: Relay) -> None:
    second = f"tcp://127.0.0.1:{host.port()}"
    host.configure([host.inbound, second], [host.outbound])
    relay.start()
    ran = host.run("fedmsg-relay", "probe")
    assert ran.code == 0, ran.stdout
    assert relay.status()["messages"]["published"] >= 2


def test_probe_of_addresses_given(bus: Bus, host: Host) -> None:
    (host.directory / "fedmsg.d" / "relay.py").unlink()
    options = ["--inbound", bus.host.inbound, "--outbound", bus.host.outbound]
    ran = host.run("fedmsg-relay", "probe", *options)
    assert ran.code == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_probe_without_a_relay_is_critical_in_the_time_given(host: Host, options: list[str]) -> None:
    ran = host.run("fedmsg-relay", "probe", "--timeout", "1", *options)
    assert ran.code == 2
    assert ran.within(1)
    if options:
        json.loads(ran.stdout)
    else:
        assert host.inbound in nagios(ran.stdout, "CRITICAL")


def test_probe_is_critical_when_one_of_two_inbound_addresses_is_dead(host: Host, relay: Relay) -> None:
    dead = f"tcp://127.0.0.1:{host.port()}"
    relay.start()
    host.configure([host.inbound, dead], [host.outbound])
    ran = host.run("fedmsg-relay", "probe", "--timeout", "1")
    assert ran.code == 2
    assert dead in nagios(ran.stdout, "CRITICAL")


def test_probe_is_critical_when_nothing_comes_out(bus: Bus) -> None:
    silent = f"tcp://127.0.0.1:{bus.host.port()}"
    with occupied(int(silent.rpartition(":")[2])):
        options = ["--timeout", "1", "--inbound", bus.host.inbound, "--outbound", silent]
        ran = bus.host.run("fedmsg-relay", "probe", *options)
    assert ran.code == 2
    assert silent in nagios(ran.stdout, "CRITICAL")


def test_probe_is_critical_when_the_relay_stands_still(bus: Bus) -> None:
    bus.relay.running.send_signal(signal.SIGSTOP)
    ran = bus.host.run("fedmsg-relay", "probe", "--timeout", "1")
    bus.relay.running.send_signal(signal.SIGCONT)
    assert ran.code == 2
    nagios(ran.stdout, "CRITICAL")


def test_probe_is_unknown_when_the_config_cannot_be_read(host: Host) -> None:
    host.write("fedmsg.d/relay.py", "config = {\n")
    ran = host.run("fedmsg-relay", "probe")
    assert ran.code == 3
    nagios(ran.stdout, "UNKNOWN")


@pytest.mark.parametrize("options", [["--no-such"], ["--timeout", "x"], ["--timeout", "-1"]], ids=" ".join)
def test_probe_is_unknown_when_it_is_used_wrongly(host: Host, options: list[str]) -> None:
    ran = host.run("fedmsg-relay", "probe", *options)
    assert ran.code == 3
    assert "Traceback" not in ran.stderr


def test_probe_is_unknown_when_an_address_cannot_be_connected_to(host: Host) -> None:
    for where in ("--inbound", "--outbound"):
        ran = host.run("fedmsg-relay", "probe", where, "nonsense", "--timeout", "1")
        assert (ran.code, ran.stderr) == (3, "")
        assert "'nonsense'" in nagios(ran.stdout, "UNKNOWN")


def test_a_probe_that_waits_can_be_interrupted(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        probe = host.start("fedmsg-relay", "probe", "--outbound", f"tcp://127.0.0.1:{mute.getsockname()[1]}")
        mute.settimeout(PATIENCE)
        mute.accept()[0].close()
        assert (probe.stop(signal.SIGINT), probe.stdout(), probe.stderr()) == (130, "", "")


def test_probes_do_not_disturb_each_other(bus: Bus) -> None:
    probes = [bus.host.start("fedmsg-relay", "probe") for _ in range(5)]
    assert [probe.wait() for probe in probes] == [0] * 5


def test_a_probe_leaves_nothing_behind(bus: Bus) -> None:
    assert bus.host.run("fedmsg-relay", "probe").code == 0
    wait_until(lambda: len(bus.relay.status()["peers"]["publishers"]) == 1, "the probe has gone")
    wait_until(lambda: len(bus.relay.status()["peers"]["listeners"]) == 1, "the probe has gone")


SEVERAL = ["tcp://app01.example.org:9941", "tcp://app01.vpn.example.org:3998"]


def test_endpoints_one_to_a_line(host: Host) -> None:
    host.configure(SEVERAL, "tcp://app01.example.org:3999")
    ran = host.run("fedmsg-relay", "endpoints")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        *(f"relay_inbound {address}" for address in SEVERAL),
        "relay_outbound tcp://app01.example.org:3999",
    ]


def test_endpoints_as_json(host: Host) -> None:
    host.configure(SEVERAL, "tcp://app01.example.org:3999")
    ran = host.run("fedmsg-relay", "endpoints", "--json")
    assert ran.code == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "relay_inbound": SEVERAL,
        "relay_outbound": ["tcp://app01.example.org:3999"],
    }


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize(
    "odd",
    ["tcp://plain:1", "tcp://it's:1", "tcp://$(touch broken):1", 'tcp://"`touch broken`":1', "tcp://a\\b:1"],
)
def test_endpoints_for_a_shell_to_eval(host: Host, odd: str, shell: str) -> None:
    host.configure([odd, SEVERAL[0]], "tcp://app01.example.org:3999")
    script = 'eval "$(fedmsg-relay endpoints --shell)" && printf "%s\\n" "$RELAY_INBOUND" "$RELAY_OUTBOUND"'
    ran = host.run(shell, "-c", script)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [f"{odd} {SEVERAL[0]}", "tcp://app01.example.org:3999"]
    assert not (host.directory / "broken").exists()


def test_endpoints_of_a_config_without_a_relay(host: Host) -> None:
    host.write("fedmsg.d/relay.py", "config = {'endpoints': {}}\n")
    ran = host.run("fedmsg-relay", "endpoints", "--shell")
    assert ran.code == 78
    assert ran.stdout == ""
    assert "relay_inbound" in ran.one_error_line()


COMMANDS_OF_THE_RELAY = ["check-config", "status", "probe", "endpoints"]


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS_OF_THE_RELAY)], ids=str)
def test_help_teaches_the_options(host: Host, command: list[str]) -> None:
    ran = host.run("fedmsg-relay", *command, "--help")
    assert ran.code == 0
    assert "--config-filename" in ran.stdout or command == ["status"]
    if command:
        assert "--json" in ran.stdout
    else:
        assert all(name in ran.stdout for name in COMMANDS_OF_THE_RELAY)


@pytest.mark.parametrize("options", [["--no-such-option"], ["no-such-command"], ["check-config", "--no"]], ids=" ".join)
def test_wrong_usage_ends_with_64(host: Host, options: list[str]) -> None:
    ran = host.run("fedmsg-relay", *options)
    assert ran.code == 64
    assert "Traceback" not in ran.stderr


def test_a_reader_that_leaves_early_causes_no_traceback(bus: Bus) -> None:
    ran = bus.host.run("/bin/sh", "-c", "fedmsg-relay endpoints | true; fedmsg-relay status | true")
    assert ran.stderr == ""


def test_version(host: Host) -> None:
    ran = host.run("fedmsg-relay", "--version")
    assert ran.code == 0
    assert re.search(r"\d+\.\d+", ran.stdout)


TALK = [
    *("fedmsg-relay --help", "fedmsg-relay --version", "fedmsg-relay status", "fedmsg-relay endpoints"),
    *("fedmsg-relay check-config --scripts", "fedmsg-relay spool ls --spool .", "fedmsg-relay probe"),
    *("fedmsg-logger --help", "fedmsg-logger --print-config"),
]


@pytest.mark.parametrize("command", TALK)
def test_a_stdout_that_takes_nothing_is_said_in_one_line(shared_bus: Bus, command: str) -> None:
    ran = shared_bus.host.run("/bin/sh", "-c", f"exec {command} > /dev/full")
    assert ran.code == EX_IOERR
    assert "cannot write to stdout" in ran.one_error_line()
    ran = shared_bus.host.run("/bin/sh", "-c", f"{command} | true")
    assert (ran.code, ran.stderr) == (0, ""), "who does not want to know is not told"


def test_a_stderr_that_takes_nothing_changes_no_exit_code(lonely: Host) -> None:
    for command, code in (("fedmsg-logger --message x", 0), ("fedmsg-relay spool deliver --patience 1", 69)):
        assert lonely.run("/bin/sh", "-c", f"exec {command} 2> /dev/full").code == code
    assert len(waiting(lonely)) == 1
