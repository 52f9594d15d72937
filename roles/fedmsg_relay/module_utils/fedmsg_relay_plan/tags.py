"""The tags of a run: each takes only the steps of one folder of tasks, on the hosts that these are about."""

from __future__ import annotations

from collections.abc import Collection

ALL = "all"
PROGRAM = "program"
KEYS = "keys"
RELAY = "relay"
SCRIPTS = "scripts"
TAGS = (PROGRAM, KEYS, RELAY, SCRIPTS)


def narrowing(run_tags: Collection[str]) -> frozenset[str]:
    """Find the tags that narrow a run.

    Args:
        run_tags: of the command line. Others than ours are the site's own.

    Returns:
        Those that are ours; if there are none, those of the site, because such a run is about something else. None if
        the run takes all steps.
    """
    asked = frozenset(run_tags) - {ALL}
    return asked & frozenset(TAGS) or (frozenset() if ALL in run_tags else asked)
