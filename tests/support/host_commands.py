"""The commands of a host, without the host: systemd with one unit, and the program of a relay."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from fedmsg_relay_host.command import Ran


@dataclass
class Commands:
    """What commands find, and what they were asked.

    Attributes:
        active: whether the unit is up.
        retrying: whether systemd tries to start it again and again while it is not up.
        enabled: whether it starts at boot.
        loaded: whether systemd knows it.
        starts: whether it comes up when it is started.
        started_at: when it was started, in Unix seconds.
        status: what the relay answers while it runs.
        after_reload: what it answers after a reload.
        probes: the exit codes of the next probes; then 0.
        unsent: what waits in the journal of a stopped relay.
        check: exit code and reason of check-config.
        asked: the commands that changed something, without the path of the program.
    """

    active: bool = True
    retrying: bool = False
    enabled: bool = True
    loaded: bool = True
    starts: bool = True
    started_at: int = 100
    status: dict[str, Any] = field(default_factory=dict)
    after_reload: dict[str, Any] | None = None
    probes: list[int] = field(default_factory=list)
    unsent: int = 0
    check: tuple[int, str] = (0, "")
    asked: list[str] = field(default_factory=list)

    def __call__(self, command: list[str]) -> Ran:
        name, *words = command
        if name == "systemctl":
            return self._systemctl(words)
        if name == "journalctl":
            return 0, "its last words\n", ""
        if name == "ss":
            return 0, "0 0 10.0.0.1:3999 10.0.0.2:40000\n0 0 10.0.0.1:3999 10.0.0.3:40001\n", ""
        if name.endswith("/fedmsg-relay"):
            return self._program(words)
        self.asked.append(" ".join(command))
        return 0, "", ""

    def _systemctl(self, words: list[str]) -> Ran:
        if words[0] == "show":
            shown = {
                "LoadState": "loaded" if self.loaded else "not-found",
                "ActiveState": "active" if self.active else "activating" if self.retrying else "inactive",
                "UnitFileState": "enabled" if self.enabled else "disabled",
                "ExecMainStartTimestamp": f"@{self.started_at}",
                "StateChangeTimestamp": f"@{self.started_at}",
                "NeedDaemonReload": "no",
                "InvocationID": f"run{self.started_at}",
            }
            units = [word for word in words if "." in word]
            block = "".join(f"{key}={value}\n" for key, value in shown.items())
            return 0, "\n".join([block] * len(units)), ""
        if words[0] == "is-active":
            return (0 if self.active else 3), "", ""
        self.asked.append(" ".join(words))
        if words[0] in ("start", "restart"):
            self.active = self.starts
            return (0, "", "") if self.starts else (1, "", "Job failed.")
        if words[0] == "stop":
            self.active = False
        if words[0] in ("enable", "disable"):
            self.enabled = words[0] == "enable"
        if words[0] == "reload" and self.after_reload is not None:
            self.status = self.after_reload
        return 0, "", ""

    def _program(self, words: list[str]) -> Ran:
        if words[0] == "status":
            return (0, json.dumps(self.status), "") if self.active else (3, "", "no answer")
        if words[0] == "probe":
            self.asked.append(" ".join(words))
            code = self.probes.pop(0) if self.probes else 0
            return code, "" if code == 0 else "nothing comes out", ""
        if words[:2] == ["journal", "waiting"]:
            return 0, f"{self.unsent}\n", ""
        if words[0] == "check-config":
            return self.check[0], "", self.check[1]
        self.asked.append(" ".join(words))
        return 0, "", ""
