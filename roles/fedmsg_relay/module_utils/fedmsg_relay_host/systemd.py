"""Asks systemd about a unit, and starts and stops it."""

from __future__ import annotations

from .command import CommandError, Run, attempt, must

JOURNAL_LINES = 10


def properties(answer: str) -> dict[str, str]:
    """Parse properties as ``systemctl show`` writes them.

    Args:
        answer: lines such as ``MainPID=17``. A key may come several times.

    Returns:
        The values by key. Several values of one key have a space between them.
    """
    shown: dict[str, str] = {}
    for line in answer.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            shown[key] = f"{shown[key]} {value}" if key in shown else value
    return shown


def show(run: Run, names: str, *units: str) -> list[dict[str, str]]:
    """Ask systemd about units.

    Args:
        run: runs a command.
        names: the properties, with commas between them.
        *units: the names of the units.

    Returns:
        The properties of each.

    Raises:
        CommandError: systemd does not answer.
    """
    answer = must(run, ["systemctl", "show", "--timestamp=unix", f"--property={names}", *units])
    return [properties(block) for block in answer.strip().split("\n\n")]


def seconds(timestamp: str) -> int:
    """Read a time of systemd.

    Args:
        timestamp: such as ``@1700000000``.

    Returns:
        Whole Unix seconds; 0 if it is not a time.
    """
    digits = timestamp.lstrip("@")
    return int(digits) if digits.isdigit() else 0


class Unit:
    """A unit of systemd."""

    def __init__(self, name: str, run: Run) -> None:
        """Name the unit.

        Args:
            name: such as ``fedmsg-relay.service``.
            run: runs a command.
        """
        self.name = name
        self._run = run

    def shown(self, names: str) -> dict[str, str]:
        """Give its properties.

        Args:
            names: with commas between them.

        Returns:
            The values by name.

        Raises:
            CommandError: systemd does not answer.
        """
        return show(self._run, names, self.name)[0]

    def is_up(self) -> bool:
        """Whether it runs now."""
        return attempt(self._run, ["systemctl", "is-active", self.name])[0] == 0

    def order(self, *words: str) -> None:
        """Let systemd do something with the unit.

        Args:
            *words: such as ``start`` or ``enable``.

        Raises:
            CommandError: systemd refuses, or the unit does not start.
        """
        must(self._run, ["systemctl", *words, self.name])

    def restart(self) -> None:
        """Restart it by its present file.

        Raises:
            CommandError: it does not start.
        """
        self.reload_files()
        self.order("restart")

    def reload_files(self) -> None:
        """Let systemd read the files of units anew.

        Raises:
            CommandError: systemd refuses.
        """
        must(self._run, ["systemctl", "daemon-reload"])

    def run_enabled(self, *, restart: bool) -> None:
        """Enable it, and start or restart it.

        Args:
            restart: whether a running unit is restarted.

        Raises:
            CommandError: it is not up.
        """
        self.reload_files()
        self.order("enable")
        self.order("restart" if restart else "start")
        if not self.is_up():
            raise CommandError(f"{self.name} is not up")

    def switch_off(self) -> bool:
        """Stop it and let it not start at boot.

        Returns:
            Whether it ran or was enabled.

        Raises:
            CommandError: systemd refuses.
        """
        seen = self.shown("ActiveState,UnitFileState")
        running = seen.get("ActiveState", "inactive") not in ("inactive", "failed")
        enabled = seen.get("UnitFileState") == "enabled"
        if running:
            self.order("stop")
        if enabled:
            self.order("disable")
        return running or enabled

    def last_words(self) -> str:
        """Read the end of its lines in the systemd journal."""
        lines = f"--lines={JOURNAL_LINES}"
        return attempt(self._run, ["journalctl", f"--unit={self.name}", lines, "--no-pager", "--output=cat"])[1].strip()
