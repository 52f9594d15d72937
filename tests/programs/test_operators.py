"""The commands of an operator: endpoints, help, and output that nobody takes."""

from __future__ import annotations

import json
import re

import pytest

from bus import Bus
from fedmsg_relay.errors import EX_CONFIG, EX_IOERR
from harness import Host
from spooled import waiting

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


INTERNAL = ("_start", "moment", "sequence", "seconds value", "stand_in", "_address")


@pytest.mark.parametrize(
    ("command", "accepted"),
    {
        "fedmsg-relay bridge --from soon": "--from: 'soon' is not oldest, now, or the seq of a message",
        "fedmsg-relay bridge --from 0": "--from: '0' is not oldest",
        "fedmsg-relay journal ls --since soon": "--since: 'soon' is not a time: ISO 8601 such as 2026-11-30T08:00",
        "fedmsg-relay journal ls --after x": "--after: 'x' is not a number from 0 on",
        "fedmsg-relay journal ls --limit -1": "--limit: '-1' is not a number from 0 on",
        "fedmsg-relay tail --since 1e300": "--since: '1e300' is not a time",
        "fedmsg-relay spool deliver --patience 0": "--patience: '0' is not a positive number of seconds",
        "fedmsg-relay spool deliver --textfile /": "--textfile: '/' is not the name of a file",
        "fedmsg-relay endpoints --submit tcp://a:1": "--inbound, --outbound and --submit need --check",
        "fedmsg-relay check-config --stand-in x": "--stand-in: 'x' is not of the form NEW=INSTALLED",
        "fedmsg-relay expect app01": "IP[:PORT]: 'app01' is not an IP address, with or without a port",
        "fedmsg-logger --timeout nan": "--timeout: 'nan' is not a positive number of seconds",
        "fedmsg-logger --io-threads 0": "--io-threads: '0' is not a number from 1 to 100",
    }.items(),
)
def test_wrong_values_are_told_with_what_is_accepted(host: Host, command: str, accepted: str) -> None:
    ran = host.run(*command.split())
    assert ran.code == 64
    assert accepted in ran.one_error_line()
    assert not any(name in ran.stderr for name in INTERNAL)


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


def test_a_stdout_that_does_not_wait_for_its_reader_is_said_in_one_line(host: Host) -> None:
    host.configure(large="x" * 300_000)
    script = (
        "import os, subprocess, sys\n"
        "reads, writes = os.pipe()\n"
        "os.set_blocking(writes, False)\n"
        "sys.exit(subprocess.run(['fedmsg-logger', '--print-config'], stdout=writes).returncode)\n"
    )
    ran = host.run("python", "-c", script)
    assert ran.code == EX_IOERR
    assert "cannot write to stdout" in ran.one_error_line()


def test_a_config_that_json_cannot_hold_is_not_printed(host: Host) -> None:
    host.write("fedmsg.d/zz.py", "config = {b'bytes': 1}\n")
    ran = host.run("fedmsg-logger", "--print-config")
    assert (ran.code, ran.stdout) == (EX_CONFIG, "")
    assert "cannot be printed as JSON: keys must be str" in ran.one_error_line()


@pytest.mark.parametrize("command", ["probe", "endpoints --check", "status"])
def test_plugins_say_in_one_line_whatever_a_config_raises(host: Host, command: str) -> None:
    host.write("fedmsg.d/zz.py", "raise ValueError('one\\ntwo | \\033[2J')\n")
    ran = host.run("fedmsg-relay", *command.split(), env={"RUNTIME_DIRECTORY": str(host.directory / "none")})
    assert (ran.code, ran.stderr) == (3, "")
    (line,) = ran.stdout.splitlines()
    assert r"zz.py, line 1: ValueError: one two / \x1b[2J" in line
    ran = host.run("fedmsg-relay", *command.split(), "--json", env={"RUNTIME_DIRECTORY": str(host.directory / "none")})
    assert "one two" in json.loads(ran.stdout)["summary"]


def test_what_a_config_prints_is_not_the_output_of_a_command(host: Host) -> None:
    host.write("fedmsg.d/zz.py", "print('touch intruder')\nconfig = {}\n")
    ran = host.run("/bin/sh", "-c", 'eval "$(fedmsg-relay endpoints --shell)"; echo "$RELAY_INBOUND"')
    assert (ran.stdout, ran.stderr) == (f"{host.inbound}\n", "touch intruder\n")
    assert not (host.directory / "intruder").exists()
    assert json.loads(host.run("fedmsg-relay", "check-config", "--scripts", "--json").stdout)["ok"]
    assert json.loads(host.run("fedmsg-logger", "--print-config").stdout)["relay_inbound"] == [host.inbound]
    host.write("fedmsg.d/zz.py", "print('touch intruder')\nconfig = []\n")
    ran = host.run("fedmsg-relay", "tail")
    assert (ran.code, ran.stdout) == (EX_CONFIG, "")
    assert ran.stderr.splitlines()[0] == "touch intruder"


def test_a_stderr_that_takes_nothing_changes_no_exit_code(lonely: Host) -> None:
    for command, code in (("fedmsg-logger --message x", 0), ("fedmsg-relay spool deliver --patience 1", 69)):
        assert lonely.run("/bin/sh", "-c", f"exec {command} 2> /dev/full").code == code
    assert len(waiting(lonely)) == 1
