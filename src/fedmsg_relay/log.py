"""The relay's log: one line an event, in a file that may be renamed under it, or on stderr."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
import time
from pathlib import Path

from fedmsg_relay.errors import ConfigError

log = logging.getLogger("fedmsg-relay")


class _OneLine(logging.Formatter):
    """Peers' bytes end up in the log: nothing of them may begin a line of its own or steer a terminal."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in super().format(record))


class _LogFile(logging.handlers.WatchedFileHandler):
    """Follows a rename by itself (logrotate); a full disk costs lines, never the relay."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's own name
        error = sys.exc_info()[1]
        print(f"fedmsg-relay: {self.baseFilename}: {error}: {record.getMessage()}", file=sys.stderr)


def start() -> Path | None:
    """Log to ``$LOGS_DIRECTORY/fedmsg-relay.log``, as systemd's ``LogsDirectory=`` names it, else to stderr.

    Warnings and errors go to stderr in either case, so that the service manager shows them.

    Returns:
        The log file, if there is one.

    Raises:
        ConfigError: the log file can not be opened.
    """
    stderr = logging.StreamHandler(sys.stderr)
    handlers: list[logging.Handler] = [stderr]
    path = None
    if directory := os.environ.get("LOGS_DIRECTORY", "").split(":")[0]:
        path = Path(directory, "fedmsg-relay.log")
        try:
            handlers.append(_LogFile(path, encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"log file {path}: {error.strerror}") from error
        stderr.setLevel(logging.WARNING)
    formatter = _OneLine(f"%(asctime)s %(levelname)s fedmsg-relay[{os.getpid()}] %(message)s")
    for handler in handlers:
        handler.setFormatter(formatter)
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    return path


def reopen() -> None:
    """Reopen the log file if it was renamed or removed."""
    for handler in log.handlers:
        if isinstance(handler, _LogFile):
            handler.acquire()
            try:
                handler.reopenIfNeeded()
            finally:
                handler.release()
    log.info("log reopened")
