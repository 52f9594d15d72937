"""Makes the tables of relay.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedmsg_relay_plan.inventory import merged
from fedmsg_relay_plan.trust import CA, CRL


def wanted_binds(settings: Mapping[str, Any], own: str, ports: Mapping[str, Any]) -> Any:
    """Find what a relay is to bind by the inventory, as a filter.

    Settings say it once more than the global config, so that a relay can be started before the global config names it,
    and goes on when the global config names another.

    Args:
        settings: ``fedmsg_relay_settings``, which overrule the rest.
        own: the beginning of an address on this host.
        ports: by endpoint.

    Returns:
        The addresses by endpoint. What is faulty is left to the program to refuse.
    """
    own_binds = {endpoint: [f"{own}:{port}"] for endpoint, port in ports.items()}
    return merged({"bind": own_binds}, settings)["bind"]


def with_trust(settings: Mapping[str, Any], signatures: str, directory: str) -> dict[str, Any]:
    """Add what a relay does about signatures, as a filter.

    Args:
        settings: ``fedmsg_relay_settings``, which overrule the paths.
        signatures: ``off``, ``warn`` or ``enforce``.
        directory: of the CA and the CRL.

    Returns:
        The tables.
    """
    trust = {"signatures": signatures, "ca": f"{directory}/{CA}", "crl": f"{directory}/{CRL}"}
    return merged({} if signatures == "off" else {"trust": trust}, settings)


def tables(settings: Mapping[str, Any], binds: Any, upstream: Mapping[str, list[str]]) -> dict[str, Any]:
    """Make all tables, as a filter.

    Args:
        settings: from :func:`with_trust`.
        binds: what the relay binds now, with its old addresses.
        upstream: the endpoints to which it hands over; empty if it publishes by itself.

    Returns:
        The tables in the order of the file.
    """
    chain = {"upstream": {key: upstream[f"relay_{key}"] for key in ("submit", "outbound")}} if upstream else {}
    others = merged(settings, chain)
    return {"bind": binds, **{name: table for name, table in others.items() if name != "bind"}}
