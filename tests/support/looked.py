"""A host that the role looks at: where its things are, and what its commands answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedmsg_relay_host.command import Ran
from fedmsg_relay_host.installation import Places
from fedmsg_relay_host.look import look

MARKER = "# Ansible managed: role fedmsg_relay"
OURS = f"{MARKER}. Change the inventory, not this file.\nx\n"

SHOWN = """LoadState=loaded
UnitFileState=enabled
ActiveState=active
NeedDaemonReload=no
ActiveEnterTimestamp=@1700000002
ExecMainStartTimestamp=@1700000001
MainPID=17
FragmentPath=/etc/systemd/system/fedmsg-relay.service
SourcePath=
DropInPaths=/etc/systemd/system/fedmsg-relay.service.d/a.conf /etc/systemd/system/service.d/b.conf
ExecStart={ path=/usr/bin/x ; argv[]=/usr/bin/x a=b ; ignore_errors=no }
InvocationID=0123456789abcdef
"""


class Host:
    """The answers of commands, by the name of the command."""

    def __init__(self, **answers: Ran | str) -> None:
        self.answers = answers
        self.ran: list[list[str]] = []

    def __call__(self, command: list[str]) -> Ran:
        self.ran.append(command)
        answer = self.answers.get(Path(command[0]).name.replace("-", "_"))
        if answer is None:
            raise FileNotFoundError(2, "No such file or directory", command[0])
        return (0, answer, "") if isinstance(answer, str) else answer


def places_below(path: Path) -> Places:
    """The role's things below a directory, of which most are not there yet."""
    for folder in ("home/releases", "etc", "bin"):
        (path / folder).mkdir(parents=True)
    return Places(
        home=str(path / "home"),
        marker=MARKER,
        files=[str(path / "etc" / name) for name in ("unit", "rotate", "toml")],
        patterns=[str(path / "lib/python*/*/x.pth")],
        commands=[str(path / "bin" / name) for name in ("relay", "logger")],
        contents=[str(path / "etc/toml")],
        config=str(path / "etc/relay.py"),
        unit=str(path / "etc/unit"),
        web_unit=str(path / "etc/web.service"),
        bridge_unit=str(path / "etc/bridge.service"),
        bridge_settings=str(path / "etc/bridge"),
        settings=str(path / "etc/toml"),
        spool_units=["relay-spool.service", "relay-spool.path"],
        pythons=["/usr/bin/python3", "/usr/bin/python3.11"],
        user="nobody-has-this-name",
    )


def only(places: Places, name: str, run: Callable[[list[str]], Ran] | None = None) -> Any:
    """Look at one subset of the state. Without answers the host has no command."""
    return look([name], places, run or Host())[name]
