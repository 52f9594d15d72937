"""Runs the relay as its files say, and proves it with a message."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .command import CommandError, Run, must
from .files import Files, Item
from .relay import SERVICE, Relay
from .systemd import Unit, seconds

PROPERTIES = "LoadState,UnitFileState,ActiveState,ActiveEnterTimestamp,ExecMainStartTimestamp"
RELOAD_SECONDS = 6

Pair = Sequence[str]


class NotProvedError(Exception):
    """A relay that is not up, or through which no message comes."""


@dataclass(frozen=True)
class Wanted:
    """How the relay is to run.

    Attributes:
        checked: what ``check-config`` says of its settings: ``bind``, ``upstream`` and ``settings``.
        replaced: whether its program or its unit was replaced.
        prove: an inbound and an outbound address through which a message has to come; none if it is not to be proved.
        listeners: the port at which a stock relay has listeners that ours is to wait for; 0 if there is none.
    """

    checked: Mapping[str, Any] = field(default_factory=dict)
    replaced: bool = False
    prove: Pair = ()
    listeners: int = 0


@dataclass(frozen=True)
class Places:
    """Where the relay's things are."""

    home: str
    unit: str
    journal: str
    user: str


class Service:
    """The relay's service on one host."""

    def __init__(self, host: str, places: Places, run: Run, files: Files) -> None:
        """Remember where it is.

        Args:
            host: the name of the host, for messages.
            places: where its things are.
            run: runs a command.
            files: makes directories. In a dry run it changes nothing, and neither does this.
        """
        self._host = host
        self._places = places
        self._run = run
        self._files = files
        self._relay = Relay(places.home, run)
        self._unit = Unit(SERVICE, run)

    def match(self, wanted: Wanted) -> str:
        """Start, restart or reload it where it does not run as its files say, and prove it.

        Args:
            wanted: how it is to run.

        Returns:
            What was done, in a sentence; empty if nothing was to be done.

        Raises:
            CommandError: systemd does not answer, or a command of the program fails.
            NotProvedError: the relay is not up, or no message comes through.
        """
        seen = self._seen()
        needs = demands(seen, wanted.checked, replaced=wanted.replaced)
        if self._files.check and not seen["service"]["loaded"]:
            return "The unit would be enabled and started, and a message sent through the relay."
        if "reload" in needs and not self._reload(wanted.checked.get("settings", {})):
            needs = ["restart"]
        if wanted.listeners and not self._files.check:
            self._expect(wanted.listeners)
        if "restart" in needs or "start" in needs:
            self._start(started=seen["service"]["started"] > 0, restart="restart" in needs)
        self.prove(wanted.prove)
        return _said(needs, running=seen["service"]["started"] > 0)

    def prove(self, pair: Pair) -> None:
        """Send a message through it. A dry run sends none.

        Args:
            pair: an inbound and an outbound address; none if it is not to be proved.

        Raises:
            NotProvedError: no message comes through.
        """
        if not pair or self._files.check:
            return
        reason = self._relay.probe(pair[:1], pair[1:])
        if reason:
            raise NotProvedError(f"No message comes through the relay on {self._host}: {reason}")

    def restart(self) -> None:
        """Restart it, and prove it at its own addresses.

        Raises:
            NotProvedError: the relay is not up, or no message comes through.
        """
        if self._files.check:
            return
        with suppress(CommandError):  # the next line sees it
            self._unit.restart()
        if not self._unit.is_up():
            raise NotProvedError(self._with_journal("is not up"))
        reason = self._relay.probe_itself()
        if reason:
            raise NotProvedError(self._with_journal(f"is up, but no message comes through it: {reason}"))

    def _seen(self) -> dict[str, Any]:
        shown = self._unit.shown(PROPERTIES)
        links = [Path(self._places.unit), Path(self._places.home, "current")]
        return {
            "service": service_of(shown),
            "status": {"answer": self._relay.status()},
            "written": newest(links),
        }

    def _reload(self, settings: Mapping[str, Any]) -> bool:
        """Limits and retention change while it runs. Whether a reload has changed them."""
        if self._files.check:
            return True
        self._unit.order("reload")
        for _ in range(RELOAD_SECONDS):
            if self._relay.status().get("settings") == settings:
                return True
            time.sleep(1)
        return False

    def _expect(self, port: int) -> None:
        """Note a stock relay's listeners in the journal, as ours notes its own: it waits for them then."""
        listeners = ["ss", "--no-header", "--tcp", "--numeric", "state", "established", f"sport = :{port}"]
        peers = [line.split()[-1] for line in must(self._run, listeners).splitlines() if line.strip()]
        user, journal = self._places.user, self._places.journal
        self._files.bring(Item(str(Path(journal).parent), "directory", owner=user, group=user))
        must(
            self._run,
            ["runuser", f"--user={user}", "--", self._relay.program, "expect", f"--journal={journal}", *peers],
        )

    def _start(self, *, started: bool, restart: bool) -> None:
        if self._files.check:
            return
        try:
            self._unit.run_enabled(restart=restart)
        except CommandError as error:
            fault = self._with_journal("is not up")
            if not started:
                # Otherwise it might start by itself some day, beside the relay that the other hosts still use.
                self._unit.switch_off()
            raise NotProvedError(fault) from error

    def _with_journal(self, fault: str) -> str:
        return f"The relay on {self._host} {fault}. The end of its journal:\n{self._unit.last_words()}"


def service_of(shown: Mapping[str, str]) -> dict[str, Any]:
    """Say how a unit is.

    Args:
        shown: its properties.

    Returns:
        Whether systemd has ``loaded`` it, when it was ``started``, 0 if it does not run, its ``pid``, and the
        ``properties``. systemd knows neither process nor start time of a relay that an init script started.
    """
    active = shown.get("ActiveState") == "active"
    times = [seconds(shown.get(key, "")) for key in ("ExecMainStartTimestamp", "ActiveEnterTimestamp")]
    return {
        "loaded": shown.get("LoadState") == "loaded",
        "started": next(filter(None, times), 0) if active else 0,
        "pid": int(shown.get("MainPID") or 0),
        "properties": dict(shown),
    }


def newest(paths: Sequence[Path]) -> int:
    """Find when the newest of files and links was written.

    Args:
        paths: links are not followed.

    Returns:
        Whole Unix seconds; 0 if none is there.
    """
    times = []
    for path in paths:
        try:
            times.append(int(path.lstat().st_mtime))
        except OSError:
            continue
    return max(times, default=0)


def demands(looked: Mapping[str, Any], wanted: Mapping[str, Any], *, replaced: bool) -> list[str]:
    """Compare a running relay with its files: a run may have failed between the change and the restart.

    Args:
        looked: ``service``, ``status`` and ``written`` of ``fedmsg_relay_look``, after the files were written.
        wanted: what ``check-config`` says of the new settings: ``bind``, ``upstream`` and ``settings``.
        replaced: whether this run has replaced the program or the unit.

    Returns:
        Of ``restart``, ``reload`` and ``start`` what it needs. A relay that does not answer is restarted.
    """
    service, status = looked["service"], looked["status"]["answer"]
    found = []
    if service["loaded"]:
        upstream = status.get("upstream") or {}
        pairs = list(map(_pair, upstream.get("submit", ()), upstream.get("outbound", ())))
        if (
            replaced
            # Whole seconds: a file is written before the start that follows it.
            or looked["written"] > service["started"]
            or status.get("endpoints", {}) != wanted.get("bind")
            or pairs != wanted.get("upstream")
        ):
            return ["restart"]
        # A relay that publishes by itself already learns by a reload that it shall.
        if status.get("settings", {}) != wanted.get("settings") or status.get("unchained_from"):
            found.append("reload")
    if not service["started"] or service["properties"].get("UnitFileState") != "enabled":
        found.append("start")
    return found


def _pair(submit: str, outbound: str) -> list[str]:
    return [submit, outbound]


def _said(needs: Sequence[str], *, running: bool) -> str:
    if "restart" in needs:
        return f"The relay {'does not match its files' if running else 'does not run'}: it is restarted."
    told = {"reload": "The relay is reloaded.", "start": "The relay is enabled, and runs."}
    return " ".join(sentence for need, sentence in told.items() if need in needs)
