"""Judges the keys and certificates that a host is about to get, on the controller. No part of a key leaves it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

DOCUMENTATION = """
name: fedmsg_relay_key_faults
short_description: Say why the keys and certificates for a host cannot be used
description:
  - Reads them from a directory on the controller. Files may be encrypted with ansible-vault.
  - Returns sentences, and nothing of the files' content.
options:
  _terms: {description: Nothing., required: false}
  host: {description: The host in the sentences., type: str, required: true}
  certs: {description: C(fedmsg_relay_certs) of the host., type: list, required: true}
  cert_host: {description: The host in the names of its certificates., type: str, required: true}
  directory: {description: The directory; empty if the role brings no files., type: str, required: true}
  sign: {description: Whether scripts on the host sign., type: bool, required: true}
  revocation: {description: Whether the relays use the CRL., type: bool, default: true}
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Refuse keys that cannot be used
  ansible.builtin.assert:
    that: lookup('fedmsg_relay_key_faults', host='x', certs=[], cert_host='x', directory='/srv/keys', sign=false) == []
"""

RETURN = """
_raw:
  description: A sentence for each fault.
  type: list
  elements: list
"""

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
CA, CRL = "ca.crt", "crl.pem"

Files = Mapping[str, "bytes | str"]
"""The content of files by their names; of a file that cannot be read the reason, as text."""


class FaultError(Exception):
    """A file that cannot be used; the text is what follows the file's name in the sentence."""


class Anchor(NamedTuple):
    """What certificates are compared with."""

    ca: x509.Certificate
    revoked: frozenset[int]


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(self, terms: Any, variables: Any = None, **kwargs: Any) -> list[list[str]]:  # noqa: ARG002 - Ansible's
        """Judge the files of one host.

        Args:
            terms: not used.
            variables: not used.
            kwargs: the options.

        Returns:
            A list of sentences, in a list.
        """
        self.set_options(var_options=variables, direct=kwargs)
        option = self.get_option
        host, certs, directory = option("host"), option("certs"), option("directory")
        found = list_faults(certs, sign=option("sign"))
        names = [f"{cert['service']}-{option('cert_host')}" for cert in certs] if not found else []
        if directory and not found:
            files = {name: self._read(directory, name) for name in [CA, CRL, *_pair_files(names)]}
            found = file_faults(files, names, directory, datetime.now(UTC), revocation=option("revocation"))
        return [[f"{host}: {sentence}" for sentence in found]]

    def _read(self, directory: str, name: str) -> bytes | str:
        path = Path(self._loader.path_dwim(directory), name)
        if not path.is_file():
            return "is missing"
        try:
            return str(self._loader.get_text_file_contents(str(path))).encode()
        except UnicodeError:
            return "is not PEM"
        except (AnsibleError, OSError) as error:
            return f"cannot be read ({str(error).splitlines()[0].rstrip('.')})"


def list_faults(certs: Sequence[Mapping[str, Any]], *, sign: bool) -> list[str]:
    """Judge the list of certificates of a host, without their files.

    Args:
        certs: ``fedmsg_relay_certs``.
        sign: whether scripts on the host sign.

    Returns:
        A sentence for each fault.
    """
    faults = [
        f"the service {cert.get('service')!r} in fedmsg_relay_certs is also the name of a file: "
        "use letters, digits, '.', '_' and '-'."
        for cert in certs
        if not SAFE_NAME.fullmatch(str(cert.get("service", "")))
    ]
    prefixes = [str(cert.get("alias") or cert.get("service")) for cert in certs]
    faults += [
        f"fedmsg_relay_certs has {prefix!r} twice, as service or alias: give one of them another alias."
        for prefix in sorted({prefix for prefix in prefixes if prefixes.count(prefix) > 1})
    ]
    owners: dict[Any, set[str]] = {}
    for cert in certs:
        owned = f"{cert.get('owner') or 'root'}:{cert.get('group') or 'root'}"
        owners.setdefault(cert.get("service"), set()).add(owned)
    faults += [
        f"fedmsg_relay_certs gives the files of the service {service!r} to {' and '.join(sorted(owned))}: "
        "give both aliases the same owner and group."
        for service, owned in owners.items()
        if len(owned) > 1
    ]
    if sign and "shell" not in prefixes:
        faults.append(
            "fedmsg_relay_sign is set, but fedmsg_relay_certs has no service (or alias) 'shell', with which "
            "scripts sign: add it, or set fedmsg_relay_sign to false."
        )
    return faults


def file_faults(
    files: Files, names: Sequence[str], directory: str, now: datetime, *, revocation: bool = True
) -> list[str]:
    """Judge the files for a host.

    Args:
        files: CA, CRL, and the pairs.
        names: of the pairs.
        directory: where the files are, for the sentences.
        now: the time.
        revocation: whether the relays use the CRL. Else it may have expired.

    Returns:
        A sentence for each fault.
    """
    faults = []
    anchor = None
    path = f"{directory}/{CA}"
    try:
        ca = _ca(_content(files, CA), now)
        path = f"{directory}/{CRL}"
        anchor = Anchor(ca, _crl(_content(files, CRL), ca, now if revocation else None))
    except FaultError as fault:
        faults.append(f"{path} {fault}")
    for name in names:
        path = f"{directory}/{name}.crt"
        try:
            certificate = _certificate(_content(files, f"{name}.crt"), name, anchor, now)
            path = f"{directory}/{name}.key"
            _key(_content(files, f"{name}.key"), certificate, f"{directory}/{name}.crt")
        except FaultError as fault:
            faults.append(f"{path} {fault}")
    return faults


def _pair_files(names: Sequence[str]) -> list[str]:
    return [f"{name}.{suffix}" for name in names for suffix in ("crt", "key")]


def _content(files: Files, name: str) -> bytes:
    content = files[name]
    if isinstance(content, bytes):
        return content
    remedy = {CA: "put the CA's certificate there", CRL: "put the CA's CRL there, which may be empty"}
    raise FaultError(
        f"{content}: {remedy.get(name, 'put the pair there, or remove its service from fedmsg_relay_certs')}."
    )


def _ca(content: bytes, now: datetime) -> x509.Certificate:
    ca = _load_certificate(content)
    start, end = _window(ca)
    if now >= end:
        raise FaultError(f"expired on {_day(end)}: a new CA is needed.")
    if now < start:
        raise FaultError(f"is not valid before {_day(start)}: wait, or correct the controller's clock.")
    if not _has_signed(ca, ca):
        raise FaultError("is not the certificate of a root CA: put the certificate there that signed itself.")
    return ca


def _crl(content: bytes, ca: x509.Certificate, now: datetime | None) -> frozenset[int]:
    try:
        crl = x509.load_pem_x509_crl(content)
        of_the_ca = crl.issuer == ca.subject and crl.is_signature_valid(_ca_key(ca))
        revoked = frozenset(one.serial_number for one in crl)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise FaultError("is not a CRL in PEM: have the CA write it.") from None
    if not of_the_ca:
        raise FaultError(f"is not a CRL of the CA in {CA}: put that CA's CRL there.")
    end = _utc(crl, "next_update")
    if end is not None and now is not None and now >= end:
        raise FaultError(
            f"expired on {_day(end)}, so no message would be valid: have the CA write a new one, or go on without "
            "revocation for now, with an empty trust.crl in fedmsg_relay_settings of the relays."
        )
    return revoked


def _certificate(content: bytes, name: str, anchor: Anchor | None, now: datetime) -> x509.Certificate:
    certificate = _load_certificate(content)
    start, end = _window(certificate)
    common_names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if now >= end:
        raise FaultError(f"expired on {_day(end)}: issue it again.")
    if now < start:
        raise FaultError(f"is not valid before {_day(start)}: wait, or correct the controller's clock.")
    if not common_names or common_names[0].value != name:
        found = repr(common_names[0].value) if common_names else "missing"
        raise FaultError(f"has the CN {found}, but the routing policy names it {name!r}: issue it with that CN.")
    if anchor and not (certificate.issuer == anchor.ca.subject and _has_signed(anchor.ca, certificate)):
        raise FaultError(f"was not issued by the CA in {CA}: issue it with that CA.")
    if anchor and certificate.serial_number in anchor.revoked:
        raise FaultError(f"is revoked by {CRL}: issue a new pair.")
    return certificate


def _key(content: bytes, certificate: x509.Certificate, path: str) -> None:
    """Raise an error that shows nothing of the key."""
    try:
        key = serialization.load_pem_private_key(content, None)
    except TypeError:
        raise FaultError(
            "has a passphrase, which no script can give: remove it (ansible-vault may encrypt the file)."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise FaultError("is not a private key in PEM: put the certificate's key there.") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise FaultError("is not an RSA key: issue the pair with an RSA key.")
    if key.public_key() != certificate.public_key():
        raise FaultError(f"does not belong to the certificate {path}: put the two files of one pair there.")


def _load_certificate(content: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(content)
        certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise FaultError("is not a certificate in PEM: issue it again.") from None
    return certificate


def _ca_key(ca: x509.Certificate) -> Any:
    return ca.public_key()


def _has_signed(ca: x509.Certificate, one: x509.Certificate) -> bool:
    key, digest = ca.public_key(), one.signature_hash_algorithm
    try:
        if digest is None:
            return False
        if isinstance(key, rsa.RSAPublicKey):
            scheme = getattr(one, "signature_algorithm_parameters", None) or padding.PKCS1v15()  # none before 41
            key.verify(one.signature, one.tbs_certificate_bytes, scheme, digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(one.signature, one.tbs_certificate_bytes, ec.ECDSA(digest))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _window(certificate: x509.Certificate) -> tuple[Any, Any]:
    return _utc(certificate, "not_valid_before"), _utc(certificate, "not_valid_after")


def _utc(of: Any, name: str) -> Any:
    """Read a time; before 42 ``cryptography`` had times without a zone only."""
    aware = getattr(of, f"{name}_utc", None)
    if aware is not None or hasattr(of, f"{name}_utc"):
        return aware
    naive = getattr(of, name)
    return naive.replace(tzinfo=UTC) if naive else None


def _day(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
