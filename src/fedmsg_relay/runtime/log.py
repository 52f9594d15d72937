"""The relay's log: one line an event, in a file that may be renamed under it, or on stderr.

Trouble with a log must not touch the relay. The code that logs only puts a line into a queue, which takes no time and
raises nothing. Each place that lines go to has a thread that writes them. A line that cannot be written waits and is
tried again. When :data:`ROOM_BYTES` wait, lines are lost and counted, and the log says how many once it works again.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from fedmsg_relay.runtime import threads

ROOM_BYTES = 4 * 1024 * 1024
"""Maximum of what waits for a place that takes no lines."""

RETRY_SECONDS = 1.0
"""Time after which a place that has failed is tried again."""

FLUSH_SECONDS = 2.0
"""Maximum time that the end of the process waits for lines to be written, at each place."""

_NOT_OPEN = -1

log = logging.getLogger("fedmsg-relay")


class _OneLine(logging.Formatter):
    """Formats one line. Bytes of peers end up in the log: they must not begin another line or steer a terminal."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in super().format(record))


class _Place:
    """A place that lines go to, which is open, such as stderr."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._fd = fd
        self._done = 0
        """Bytes of the current line that are written: a full disk may take a part of it."""

    def write(self, line: bytes) -> None:
        """Write one line, or the rest of it where that failed before; may block, and raises OSError."""
        while self._done < len(line):
            self._done += os.write(self._fd, line[self._done :])
        self._done = 0


class _File(_Place):
    """A file that is opened with the first line, and anew when it was renamed or removed, its directory with it."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _NOT_OPEN)
        self._path = path

    def write(self, line: bytes) -> None:
        if not self._is_in_place():
            left, self._fd, self._done = self._fd, self._open(), 0
            if left != _NOT_OPEN:
                os.close(left)
        super().write(line)

    def _open(self) -> int:
        with suppress(FileExistsError):
            self._path.parent.mkdir(parents=True)
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _is_in_place(self) -> bool:
        try:
            return self._fd != _NOT_OPEN and os.path.samestat(self._path.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return False


class _Queue(logging.Handler):
    """Takes lines without waiting, and writes them in a thread of its own."""

    def __init__(self, place: _Place) -> None:
        super().__init__()
        self.name = self.place = place.name
        self.fault = ""
        """Why lines wait or are lost now; empty if they do not."""
        self.lost = 0
        self._place = place
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._overflowed = 0
        self._changed = threading.Condition()
        threads.start(f"log to {place.name}", self._write_lines)

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a line without logging's own lock: the end of the process holds that while it waits for us."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        line = self._format_anything(record).encode(errors="backslashreplace") + b"\n"
        with self._changed:
            # Once full it first empties: so what was lost is one gap, and it is said where the gap is.
            if self._overflowed or self._waiting + len(line) > ROOM_BYTES:
                self._overflowed += 1
                self.lost += 1
                self.fault = self.fault or "it takes no more"
            else:
                self._waiting += len(line)
                self._lines.append(line)
                self._changed.notify_all()

    def _format_anything(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is not worth what the caller was doing
            record.msg, record.args = "cannot be logged (%s): %r", (type(error).__name__, record.msg)
            return self.format(record)

    def close(self) -> None:
        """At the end of the process, from logging: wait for what is queued, unless the place fails."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines or self.fault, FLUSH_SECONDS)
        super().close()

    def _write_lines(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines[0]
            self._write(line)
            with self._changed:
                self._lines.popleft()
                self._waiting -= len(line)
                if self._lines:
                    continue
                recovered, self.fault = self.fault, ""
                overflowed, self._overflowed = self._overflowed, 0
                self._changed.notify_all()
            if recovered:
                log.warning("%s is written again; %d lines were lost", self.name, overflowed)

    def _write(self, line: bytes) -> None:
        """Write it, however long that takes."""
        while True:
            try:
                return self._place.write(line)
            except OSError as error:
                reason = error.strerror or str(error)
            if not self.fault:
                self.fault = reason
                log.error("%s cannot be written, lines wait: %s", self.name, reason)
            time.sleep(RETRY_SECONDS)


def start() -> None:
    """Log to ``$LOGS_DIRECTORY/fedmsg-relay.log``, as systemd's ``LogsDirectory=`` names it, else to stderr.

    Warnings and errors go to stderr in either case, so that the service manager shows them.

    A place that cannot be written does not keep the relay from starting: stderr and ``status`` say so.
    """
    places: list[_Place] = [_Place("stderr", sys.stderr.fileno())]
    if directory := os.environ.get("LOGS_DIRECTORY", "").split(":")[0]:
        places.insert(0, _File(Path(directory, "fedmsg-relay.log")))
    formatter = _OneLine(f"%(asctime)s %(levelname)s fedmsg-relay[{os.getpid()}] %(message)s")
    for place in places:
        queue = _Queue(place)
        queue.setFormatter(formatter)
        log.addHandler(queue)
    log.handlers[-1].setLevel(logging.WARNING if directory else logging.INFO)
    log.setLevel(logging.INFO)
    log.propagate = False


def reopen() -> None:
    """Open a new file if the log was renamed or removed, as the next line does by itself."""
    log.info("log reopened")


class LogStatus(TypedDict):
    """Where the log goes, why lines wait or are lost now (empty if they do not), and lines lost since the start."""

    place: str
    fault: str
    lost: int


def describe() -> LogStatus:
    """Describe the log: the file, or stderr if there is none."""
    queue = next(handler for handler in log.handlers if isinstance(handler, _Queue))
    return {"place": queue.place, "fault": queue.fault, "lost": queue.lost}
