"""Forks of a script with threads: a child must not find anything half done.

A fork copies one thread only. A lock that another thread held stays locked in the child, and so does Python's own lock
of a module that another thread was loading. So our modules are loaded, and publishing is set up, under
:data:`setting_up`, and a fork waits for that. The child forgets work that takes longer, such as sending.

This module is on the path of every one-off script: it imports only what that needs.
"""

from __future__ import annotations

import _thread
import os
from types import TracebackType

PATIENCE = 5.0
"""Maximum time that a fork waits for another thread."""


class SettingUp:
    """A lock that no child of a fork finds locked; one thread may take it several times."""

    def __init__(self) -> None:
        self._lock = _thread.RLock()
        self._forking = _thread._local()
        os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _before(self) -> None:
        self._forking.waited = self._lock.acquire(timeout=PATIENCE)

    def _in_parent(self) -> None:
        if self._forking.waited:
            self._lock.release()

    def _in_child(self) -> None:
        if self._forking.waited:
            self._lock.release()
        else:
            self._lock = _thread.RLock()


setting_up = SettingUp()


def is_forked() -> bool:
    """Tell whether this process is a fork that goes on with its parent's program.

    Returns:
        True if it is: such children often end without Python's knowing (``os._exit``, ``Pool.terminate``).
    """
    try:
        with open("/proc/self/stat", "rb") as file:
            flags = int(file.read().rpartition(b")")[2].split()[6])
    except (OSError, ValueError, IndexError):
        return True  # not known; then as if it were
    return bool(flags & _PF_FORKNOEXEC)


_PF_FORKNOEXEC = 0x40
"""The kernel's flag of a process that was forked and has not executed a program since."""
