"""Hosts before, in and after a move of the relay."""

from __future__ import annotations

from typing import Any

from fleet import Fleet, fleet, relay, scripts

DEPLOYED = fleet(relay("app01"), scripts("pkgs01", "app01"), group="app01")


def first() -> Fleet:
    """Nothing is there yet."""
    machines = [scripts(name, config=None, release="", complete=(), spool=False) for name in ("app01", "pkgs01")]
    return fleet(*machines, group="app01")


def move(**old: Any) -> Fleet:
    """app01 left the group for bus01."""
    machines = [relay("app01", **old), scripts("bus01", "app01"), scripts("pkgs01", "app01")]
    return fleet(*machines, group="bus01")


def half_way(group: str) -> Fleet:
    """app01 hands over to bus01 already."""
    machines = [relay("app01", "bus01", upstream=("bus01",)), relay("bus01"), scripts("pkgs01", "bus01")]
    return fleet(*machines, group=group)
