"""Decides what a relay needs so that it runs as its files say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def demands(looked: Mapping[str, Any], wanted: Mapping[str, Any], *, replaced: bool) -> list[str]:
    """Compare a running relay with its files: a run may have failed between the change and the restart.

    Args:
        looked: ``service``, ``status`` and ``written`` of ``fedmsg_relay_look``, after the files were written.
        wanted: what ``check-config`` says of the new settings: ``bind``, ``upstream`` and ``settings``.
        replaced: whether this run has replaced the program or the unit.

    Returns:
        Of ``restart``, ``reload`` and ``start`` what it needs. A relay that does not answer is restarted.
    """
    service, status = looked["service"], looked["status"]["answer"]
    found = []
    if service["loaded"]:
        upstream = status.get("upstream") or {}
        pairs = [list(pair) for pair in zip(upstream.get("submit", ()), upstream.get("outbound", ()), strict=False)]
        if (
            replaced
            # Whole seconds: a file is written before the start that follows it.
            or looked["written"] > service["started"]
            or status.get("endpoints", {}) != wanted["bind"]
            or pairs != wanted["upstream"]
        ):
            return ["restart"]
        # One that publishes by itself already learns by a reload that it shall.
        if status.get("settings", {}) != wanted["settings"] or status.get("unchained_from"):
            found.append("reload")
    if not service["started"] or service["properties"].get("UnitFileState") != "enabled":
        found.append("start")
    return found
