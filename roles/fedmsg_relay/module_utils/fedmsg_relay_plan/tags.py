"""The tags of a run: each takes only the steps of one folder of tasks, on the hosts that these are about."""

from __future__ import annotations

from collections.abc import Iterable

PROGRAM = "program"
KEYS = "keys"
RELAY = "relay"
SCRIPTS = "scripts"
TAGS = (PROGRAM, KEYS, RELAY, SCRIPTS)


def narrowing(run_tags: Iterable[str]) -> frozenset[str]:
    """Find the tags that narrow a run.

    Args:
        run_tags: of the command line. Others than ours are the site's own.

    Returns:
        Those that are ours; none if the run takes all steps.
    """
    return frozenset(run_tags) & frozenset(TAGS)
