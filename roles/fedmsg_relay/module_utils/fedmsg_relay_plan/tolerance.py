"""Which hosts a run can do without, by ``fedmsg_relay_tolerate_unreachable``: a list, a number, a share, or ``all``."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

SHARE = re.compile(r"^(\d+(?:[.]\d+)?)%$")
ALL = "all"


def is_tolerance(value: Any) -> bool:
    """Tell whether a value can be used.

    Args:
        value: of the variable.

    Returns:
        Whether it is a list of names, a number, a share such as ``10%``, or ``all``.
    """
    if isinstance(value, list | tuple):
        return all(isinstance(name, str) for name in value)
    return value == ALL or SHARE.match(str(value)) is not None or (not isinstance(value, bool) and _is_number(value))


def tolerated(value: Any, silent: Collection[str], needed: Collection[str], asked: int) -> frozenset[str]:
    """Find the hosts that a run can do without.

    Args:
        value: of the variable; :func:`is_tolerance` accepts it.
        silent: the hosts of the run that do not answer.
        needed: hosts that may run a relay: only a list, which names them, makes a run go on without them.
        asked: the number of hosts of the run.

    Returns:
        The names in the list. Else the silent hosts that are not needed; none if there are more than the value allows.
    """
    if isinstance(value, list | tuple):
        return frozenset(value)
    found = frozenset(silent) - frozenset(needed)
    return found if len(found) <= _most(value, asked) else frozenset()


def _most(value: Any, asked: int) -> float:
    if value == ALL:
        return math.inf
    share = SHARE.match(str(value))
    return math.floor(asked * float(share[1]) / 100) if share else int(value)


def _is_number(value: Any) -> bool:
    return str(value).isdecimal()
