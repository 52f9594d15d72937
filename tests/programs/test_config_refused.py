"""A global config that cannot be used is refused in one line, which names the file or the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import Host, Ran

BROKEN = {
    "syntax error": ("config = dict(\n    a=1,\n    b=,\n)\n", 3),
    "exception": ("import os\n\nconfig = {}\nconfig['x'] = os.environ['NO_SUCH_VARIABLE']\n", 4),
    "exception in a function": ("def f():\n    return 1 / 0\n\nconfig = {'x': f()}\n", 2),
    "import of what is not there": ("import no_such_module\nconfig = {}\n", 1),
    "not UTF-8": (b"config = {'a': 'caf\xe9'}\n", None),
    "no config in it": ("conf = {}\n", None),
    "config is no dict": ("config = ['a']\n", None),
    "the file leaves the program": ("import sys\nsys.exit(0)\n", None),
}


@pytest.mark.parametrize("command", ["check-config", "relay", "endpoints", "logger"])
@pytest.mark.parametrize(("text", "line"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_one_line_naming_file_and_line(
    host: Host, text: str | bytes, line: int | None, command: str
) -> None:
    broken = host.directory / "fedmsg.d" / "zz-broken.py"
    broken.write_bytes(text.encode() if isinstance(text, str) else text)
    ran = run_command(host, command)
    assert ran.code == 78
    said = ran.one_error_line()
    assert str(broken) in said
    if line is not None:
        assert f"{line}" in said.split(str(broken), 1)[1]


def run_command(host: Host, command: str, *options: str | Path) -> Ran:
    program = {
        "relay": ["fedmsg-relay"],
        "logger": ["fedmsg-logger", "--message", "x"],
    }.get(command, ["fedmsg-relay", command])
    return host.run(*program, *options)


@pytest.mark.parametrize("command", ["check-config", "relay", "endpoints", "logger"])
def test_a_config_file_that_is_not_there_is_one_line_naming_it(host: Host, command: str) -> None:
    ran = run_command(host, command, "--config-filename", host.directory / "missing.py")
    assert ran.code == 78
    assert str(host.directory / "missing.py") in ran.one_error_line()


INCOMPLETE = {
    "no relay_inbound": ("config = {'endpoints': {'relay_outbound': 'tcp://*:1'}}", "relay_inbound"),
    "no relay_outbound": ("config = {'relay_inbound': 'tcp://*:1', 'endpoints': {}}", "relay_outbound"),
    "no endpoints": ("config = {'relay_inbound': 'tcp://*:1'}", "endpoints"),
    "endpoints is a list": ("config = {'relay_inbound': 'tcp://*:1', 'endpoints': []}", "endpoints"),
    "an empty list": (
        "config = {'relay_inbound': [], 'endpoints': {'relay_outbound': 'tcp://*:1'}}",
        "relay_inbound",
    ),
    "a number for an address": (
        "config = {'relay_inbound': 9941, 'endpoints': {'relay_outbound': 'tcp://*:1'}}",
        "relay_inbound",
    ),
    "no port in an address": (
        "config = {'relay_inbound': 'tcp://127.0.0.1', 'endpoints': {'relay_outbound': 'tcp://*:1'}}",
        "relay_inbound",
    ),
    "a port that does not exist": (
        "config = {'relay_inbound': 'tcp://*:1', 'endpoints': {'relay_outbound': 'tcp://*:70000'}}",
        "relay_outbound",
    ),
    "not TCP": (
        "config = {'relay_inbound': 'http://*:1', 'endpoints': {'relay_outbound': 'tcp://*:2'}}",
        "relay_inbound",
    ),
}


UNUSABLE: list[tuple[str, object]] = [
    *[(key, value) for key in ("topic_prefix", "environment") for value in (None, 5, b"org", "\udcff")],
    *[("io_threads", value) for value in (None, 0, -1, 101, 99999999999, True, 1.0, "1")],
    *[("high_water_mark", value) for value in (None, -1, 2**31, False, "a")],
]


@pytest.mark.parametrize(("key", "value"), UNUSABLE)
def test_a_value_that_no_message_can_be_sent_with_is_refused_by_key(host: Host, key: str, value: Any) -> None:
    host.configure(**{key: value})
    commands = [("check-config",), ("check-config", "--scripts"), ("relay",), ("endpoints",), ("logger",)]
    for command, *options in commands:
        ran = run_command(host, command, *options)
        assert ran.code == 78
        assert f"{key} must be" in ran.one_error_line()
        assert repr(value) in ran.one_error_line()


UNREACHABLE: list[tuple[str, dict[str, Any]]] = [
    (key, {argument: [address]})
    for key, argument in (
        ("relay_inbound", "inbound"),
        ("relay_outbound", "outbound"),
        ("relay_submit", "relay_submit"),
    )
    for address in ("nonsense", "tcp://127.0.0.1", "tcp://*:9942", "tcp://host:99999", "tcp://\udcff:1")
]


@pytest.mark.parametrize(("key", "values"), UNREACHABLE)
def test_an_address_that_scripts_cannot_connect_to_is_refused_by_key(
    host: Host, key: str, values: dict[str, Any]
) -> None:
    host.configure(**values)
    ran = run_command(host, "check-config", "--scripts")
    assert ran.code == 78
    assert key in ran.one_error_line()


@pytest.mark.parametrize(
    "address",
    [
        "tcp://app 01:9942",
        "tcp://app01:\uff19\uff19",
        "tcp://[zz]:9942",
        "tcp://app\xe9:9942",
        "tcp://a,b:9942",
        "ipc://",
        f"ipc:///{'x' * 107}",
    ],
)
def test_what_libzmq_takes_for_no_address_is_refused_before_a_script_is(host: Host, address: str) -> None:
    host.configure(relay_submit=[address])
    for options in (["--scripts"], []):
        ran = run_command(host, "check-config", *options)
        assert (ran.code, ran.stdout) == (78, "")
        assert f"relay_submit: {address!r} is not an address; accepted: " in ran.one_error_line()


def test_addresses_that_scripts_can_connect_to_are_accepted(host: Host) -> None:
    several = ["tcp://app01.example.org:9941", "tcp://127.0.0.1:9941", "tcp://[::1]:9941", "ipc:///run/x.sock"]
    several += ["tcp://[fe80::1%eth0]:9941", "tcp://app_01-a:9941", "tcp://eth0;app01:9941"]
    host.configure(several, several, relay_submit=several)
    ran = run_command(host, "check-config", "--scripts")
    assert (ran.code, ran.stderr) == (0, "")


def test_a_config_that_signs_is_good_for_the_relay_and_for_stock_scripts(host: Host) -> None:
    host.configure(sign_messages=True)
    assert run_command(host, "check-config", "--scripts").code == 0
    assert run_command(host, "check-config").code == 0


@pytest.mark.parametrize("command", ["check-config", "relay"])
@pytest.mark.parametrize(("text", "key"), INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_a_config_that_names_no_relay_properly_is_refused_by_key(host: Host, text: str, key: str, command: str) -> None:
    only = host.write("only.py", text)
    ran = run_command(host, command, "--config-filename", only)
    assert ran.code == 78
    assert key in ran.one_error_line()


@pytest.mark.parametrize("command", ["tail", "trace"])
def test_a_web_process_that_is_not_a_url_is_refused_with_what_one_looks_like(host: Host, command: str) -> None:
    host.configure(relay_web=[5])
    ran = host.run("fedmsg-relay", command, *(["x"] if command == "trace" else []))
    assert (ran.code, ran.stdout) == (78, "")
    assert "relay_web must name the relay's address, such as 'http://host:9943'" in ran.one_error_line()


@pytest.mark.parametrize("path", ["a\0b", "\ud800"], ids=["NUL", "half a surrogate pair"])
@pytest.mark.parametrize(
    "command",
    [["fedmsg-logger", "--message=x"], ["fedmsg-relay", "spool", "ls"], ["fedmsg-relay", "trace", "x"]],
    ids=["logger", "spool", "trace"],
)
def test_a_spool_that_no_directory_can_be_is_refused(host: Host, command: list[str], path: str) -> None:
    host.configure(relay_spool=path)
    ran = host.run(*command)
    assert ran.code == 78
    assert "relay_spool" in ran.one_error_line()
