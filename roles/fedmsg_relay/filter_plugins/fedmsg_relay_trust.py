"""Makes the global config's certnames and routing policy, and the list of a host's files, from the inventory's certs.

An item of ``fedmsg_relay_certs`` has Fedora's keys: ``service``, ``owner``, ``group``, ``can_send`` and ``alias``. Its
certificate is called ``<service>-<host>``, which is also the CN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Cert = Mapping[str, Any]

EVERY = "*"
CA, CRL = "ca.crt", "crl.pem"


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """Name the filters.

        Returns:
            Each by the name that templates use.
        """
        return {
            "fedmsg_relay_policy": policy,
            "fedmsg_relay_certnames": certnames,
            "fedmsg_relay_key_files": key_files,
            "fedmsg_relay_shell_group": shell_group,
            "fedmsg_relay_trust_told": trust_told,
        }


def policy(hosts: Iterable[Iterable[Any]], base: str, extra: Mapping[str, Any]) -> dict[str, list[str]]:
    """Invert ``can_send``: who may send which topic.

    Args:
        hosts: of each host the inventory name, ``fedmsg_relay_certs``, and ``fedmsg_relay_cert_host`` or nothing.
        base: the beginning of every topic, such as ``org.fedoraproject.stg``.
        extra: names of certificates to add, by topic without its beginning; under ``*`` those for every topic.

    Returns:
        The names of certificates by topic, sorted.
    """
    senders: dict[str, set[str]] = {}
    for host, certs, cert_host in hosts:
        for cert in _items(certs):
            for topic in cert.get("can_send") or ():
                senders.setdefault(topic, set()).add(_name(cert, cert_host or host))
    for topic, names in extra.items():
        if topic != EVERY:
            senders.setdefault(topic, set()).update(names)
    everywhere = extra.get(EVERY, ())
    return {f"{base}.{topic}": sorted(names.union(everywhere)) for topic, names in sorted(senders.items())}


def certnames(certs: Iterable[Cert], cert_host: str, short_host: str) -> dict[str, str]:
    """Name the certificates of a host as scripts find them.

    Args:
        certs: ``fedmsg_relay_certs`` of the host.
        cert_host: the host in the names of its certificates.
        short_host: the host's own name up to the first dot.

    Returns:
        The name of each certificate.
    """
    return {f"{_prefix(cert)}.{short_host}": _name(cert, cert_host) for cert in _items(certs)}


def key_files(certs: Iterable[Cert], cert_host: str) -> list[dict[str, Any]]:
    """List the files that a host gets, those of a pair one after the other.

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


def shell_group(certs: Iterable[Cert]) -> str:
    """Find the group that may read the key with which the spool's delivery signs.

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
