"""Keeps units running, by what they read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .command import CommandError, Run, must
from .service import newest
from .systemd import Unit, seconds, show

PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,NeedDaemonReload,ExecMainStartTimestamp,StateChangeTimestamp"


class DownError(Exception):
    """A unit that does not start."""


def keep_running(names: Sequence[str], files: Sequence[str], run: Run, *, check: bool) -> list[str]:
    """Enable units, and start units that do not run.

    Args:
        names: of the units.
        files: they read these when they start: a unit that was started before the newest of them is restarted.
        run: runs a command.
        check: whether to change nothing.

    Returns:
        Those that were started or restarted, or would be.

    Raises:
        CommandError: systemd does not answer.
        DownError: a unit does not start, with the end of its journal.
    """
    written = newest([Path(file) for file in files])
    done = []
    for name, shown in zip(names, show(run, PROPERTIES, *names)):  # noqa: B905 - Python 3.9 has no strict
        ready = (shown.get("UnitFileState"), shown.get("ActiveState")) == ("enabled", "active")
        older = bool(files) and written > seconds(shown.get("ExecMainStartTimestamp", ""))
        outdated = older or shown.get("NeedDaemonReload") == "yes"
        if ready and not outdated:
            continue
        done.append(name)
        if check:
            continue
        unit = Unit(name, run)
        try:
            unit.run_enabled(restart=outdated)
        except CommandError as error:
            raise DownError(unit.last_words()) from error
    return done


def outdated(names: Sequence[str], file: str, run: Run, *, written: bool) -> list[str]:
    """Find units that have read another state of a file. A unit that does not run reads it when it starts.

    Times are compared, because a notification is lost when a run fails between the change and the handler. Whole
    seconds: a file is written before the start that follows it.

    Args:
        names: of the units.
        file: what they read.
        run: runs a command.
        written: whether it has just been written, or would be in a dry run.

    Returns:
        The names of the units.

    Raises:
        CommandError: systemd does not answer.
    """
    changed = newest([Path(file)])
    return [
        name
        for name, shown in zip(names, show(run, PROPERTIES, *names))  # noqa: B905 - Python 3.9 has no strict
        if shown.get("ActiveState") == "active"
        and (written or seconds(shown.get("StateChangeTimestamp", "")) < changed)
    ]


def reload(names: Sequence[str], run: Run) -> None:
    """Let units read their files anew; a unit that cannot reload is restarted.

    Args:
        names: of the units.
        run: runs a command.

    Raises:
        CommandError: a unit does not come back.
    """
    must(run, ["systemctl", "try-reload-or-restart", *names])
