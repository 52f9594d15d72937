"""Reads what stock fedmsg-tail printed, for heard.py, judge_numbers.py and traffic.py."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

ENTRY = re.compile(r"^\[[^]]*\]\[fedmsg\.commands    INFO\] ", flags=re.MULTILINE)
WARNING = re.compile(r"^\[[^]]*\]\[fedmsg\.crypto\S* WARNING\] .*\n?", flags=re.MULTILINE)
"""Stock warns of a message without a signature, or with a topic that no policy names."""


def messages(printed: Path) -> list[dict[str, Any]]:
    """Read the messages in order, fences among them.

    Args:
        printed: the output of fedmsg-tail.
    """
    entries = ENTRY.split(WARNING.sub("", printed.read_text()))[1:]
    return [ast.literal_eval(entry) for entry in entries]
