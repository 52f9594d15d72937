"""Dates as the log and the commands write them."""

from __future__ import annotations

import time


def until(seconds: float | None) -> str:
    """Write until when a file is valid.

    Args:
        seconds: since the epoch; None where that is not known, or the file has no end.
    """
    if seconds is None:
        return "until an unknown time"
    return time.strftime("until %Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
