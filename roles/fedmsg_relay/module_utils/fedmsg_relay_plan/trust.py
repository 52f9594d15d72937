"""Makes of the inventory's certs the certnames and the routing policy of the global config, and the files of a host.

An item of ``fedmsg_relay_certs`` has Fedora's keys: ``service``, ``owner``, ``group``, ``can_send`` and ``alias``. Its
certificate is called ``<service>-<host>``, which is also the CN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from fedmsg_relay_plan.inventory import Variables, is_true, table

Cert = Mapping[str, Any]

EVERY = "*"
CA, CRL = "ca.crt", "crl.pem"


def policy(bus: Variables, base: str, extra: Mapping[str, Any]) -> dict[str, list[str]]:
    """Invert ``can_send``: who may send which topic, as a filter.

    Args:
        bus: the hosts, as :func:`fedmsg_relay_plan.inventory.bus` tells them, also those that the run leaves out.
        base: the beginning of every topic, such as ``org.fedoraproject.stg``.
        extra: names of certificates to add, by topic without its beginning; under ``*`` those for every topic.

    Returns:
        The names of certificates by topic, sorted.
    """
    senders: dict[str, set[str]] = {}
    for host, known in bus.items():
        for cert in _items(known.get("fedmsg_relay_certs")):
            for topic in cert.get("can_send") or ():
                name = _name(cert, known.get("fedmsg_relay_cert_host") or host)
                senders.setdefault(topic, set()).add(name)
    for topic, names in extra.items():
        if topic != EVERY:
            senders.setdefault(topic, set()).update(names)
    everywhere = extra.get(EVERY, ())
    return {f"{base}.{topic}": sorted(names.union(everywhere)) for topic, names in sorted(senders.items())}


def unsigned(bus: Variables) -> list[str]:
    """Find the hosts where scripts publish and do not sign, as a filter.

    Args:
        bus: as :func:`policy` takes it.

    Returns:
        Their names, sorted.
    """
    return sorted(
        host
        for host, known in bus.items()
        if known.get("fedmsg_relay_needs") != ["outbound"] and not is_true(known.get("fedmsg_relay_sign"))
    )


def without_crl(relays: Variables) -> bool:
    """Find out whether a relay is told to do without a CRL, as a filter.

    Args:
        relays: those of the group, as :func:`fedmsg_relay_plan.inventory.relays` tells them.

    Returns:
        Whether one is.
    """
    settings = [table(known, "fedmsg_relay_settings") for known in relays.values()]
    return any(table(tables, "trust").get("crl") == "" for tables in settings)


def certnames(certs: Iterable[Cert], cert_host: str, host: str) -> dict[str, str]:
    """Name the certificates of a host as scripts find them, as a filter.

    Args:
        certs: ``fedmsg_relay_certs`` of the host.
        cert_host: the host in the names of its certificates.
        host: the host's own name. Scripts take it up to the first dot.

    Returns:
        The name of each certificate.
    """
    short = host.partition(".")[0]
    return {f"{_prefix(cert)}.{short}": _name(cert, cert_host) for cert in _items(certs)}


def key_files(certs: Iterable[Cert], cert_host: str) -> list[dict[str, Any]]:
    """List the files that a host gets, those of a pair one after the other, as a filter.

    Args:
        certs: ``fedmsg_relay_certs`` of the host.
        cert_host: the host in the names of its certificates.

    Returns:
        The name of each file, with owner, group and mode.
    """
    files = [{"name": name, "owner": "root", "group": "root", "mode": "0644"} for name in (CA, CRL)]
    for cert in _items(certs):
        owned = {"owner": cert.get("owner") or "root", "group": cert.get("group") or "root"}
        files.append({"name": f"{_name(cert, cert_host)}.crt", **owned, "mode": "0644"})
        files.append({"name": f"{_name(cert, cert_host)}.key", **owned, "mode": "0640"})
    return files


def differences(compared: Mapping[str, Any], own: str) -> dict[str, list[str]]:
    """Tell how the files of a host differ from those of the controller, as a filter.

    Args:
        compared: what ``fedmsg_relay_keys`` found; empty where nobody compared them.
        own: the user and group that the role makes by itself.

    Returns:
        By the attributes of :class:`fedmsg_relay_plan.told.Keys`.
    """
    known = {f"user {own}", f"group {own}"}
    return {
        "differ": list(compared.get("differ") or ()),
        "foreign": list(compared.get("foreign") or ()),
        "unknown": sorted({*(compared.get("unknown") or ())} - known),
    }


def shell_group(certs: Iterable[Cert]) -> str:
    """Find the group that may read the key with which the spool's delivery signs, as a filter.

    Args:
        certs: ``fedmsg_relay_certs`` of the host.

    Returns:
        The group; empty if there is none but root's.
    """
    groups = [str(cert.get("group") or "root") for cert in _items(certs) if _prefix(cert) == "shell"]
    return "" if groups[:1] == ["root"] else "".join(groups[:1])


def trust_told(status: Mapping[str, Any]) -> str:
    """Say what a relay found of signatures: the figures on which the next step is taken.

    Args:
        status: the relay's status.

    Returns:
        A part of a sentence.
    """
    trust = status.get("trust") or {}
    clauses = [f"signatures {trust.get('signatures', 'unknown')}"]
    if trust.get("fault"):
        clauses.append(f"cannot be checked: {trust['fault']}")
    if trust.get("waiting"):
        clauses.append(f"{trust['waiting']} unchecked in the quarantine")
    found = trust.get("distrusted") or {}
    clauses += [_distrusted(reason, one) for reason, one in sorted(found.items()) if one["messages"]]
    if not found:
        clauses.append("no message distrusted since the relay started")
    for kind in ("ca", "crl"):
        ends = (trust.get(kind) or {}).get("ends")
        if ends is not None:
            clauses.append(f"{kind.upper()} good until {datetime.fromtimestamp(ends, UTC):%Y-%m-%d}")
    return ", ".join(clauses)


def _distrusted(reason: str, one: Mapping[str, Any]) -> str:
    by = f" by {one['signer']}" if one.get("signer") else ""
    return f"{one['messages']} distrusted as {reason} (the last from {one['source']}{by})"


def _items(certs: Any) -> list[Cert]:
    """Other hosts' items have not been validated yet."""
    return [cert for cert in certs if isinstance(cert, Mapping)] if isinstance(certs, list) else []


def _prefix(cert: Cert) -> str:
    return str(cert.get("alias") or cert.get("service", ""))


def _name(cert: Cert, cert_host: str) -> str:
    return f"{cert.get('service', '')}-{cert_host}"
