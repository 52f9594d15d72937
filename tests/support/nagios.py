"""The convention of Nagios plugins: one line with a word and performance data."""

from __future__ import annotations

import re

PERFDATA = re.compile(r"([^= ]+|'[^']+')=[-0-9.]+(s|ms|us|[KMGT]?B|c|%)?(;[^; ]*){0,4}")


def nagios(text: str, word: str) -> str:
    """Check the plugin convention of the first line, and return its text."""
    first = text.splitlines()[0]
    said, _, performance = first.partition("|")
    assert re.search(rf"\b{word}\b", said), first
    for item in performance.split():
        assert PERFDATA.fullmatch(item), item
    return said
