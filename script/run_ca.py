"""A certificate authority in a directory: for the demo, tests and molecule.

A real site has easy-rsa, FreeIPA or Vault for this. The directory has the names that fedmsg uses, and can be given to
the role as it is: ca.crt, crl.pem, and for each signer NAME.crt and NAME.key. Keys are RSA with 2048 bits.

    script/ca init DIR                  a new CA: ca.key, ca.crt, and an empty crl.pem
    script/ca issue DIR NAME...         a key and a certificate for each NAME, such as shell-app01.example.org
    script/ca revoke DIR NAME...        put the certificates of these signers on the CRL
    script/ca crl DIR                   write the CRL anew before it expires

A message is valid when its certificate is from this CA, has not expired and is not on the CRL, and when the CRL has
not expired either. An expired CRL makes every message invalid, so run `script/ca crl DIR` in time; --days says how
long a certificate (3650) or a CRL (30) is good. A key that leaked: `revoke` it, then `issue` the same NAME again.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

BITS = 2048
CERTIFICATE_DAYS = 3650
CRL_DAYS = 30
BACKDATED = timedelta(hours=1)
"""How long before now a certificate begins: clocks of hosts differ."""


class CaError(Exception):
    """What cannot be done, in one line that says why."""


class Ca:
    """A CA in a directory.

    Args:
        directory: where its files are.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.crl_file = directory / "crl.pem"

    def init(self, name: str = "fedmsg-relay test CA", days: int = CERTIFICATE_DAYS, crl_days: int = CRL_DAYS) -> None:
        """Make the CA and its empty CRL.

        Args:
            name: the CA's CN.
            days: how long its certificate is valid.
            crl_days: how long its CRL is valid.

        Raises:
            CaError: there is one already.
        """
        if self._file("ca", "key").exists():
            raise CaError(f"{self.directory} holds a CA already")
        self.directory.mkdir(parents=True, exist_ok=True)
        key = rsa.generate_private_key(65537, BITS)
        subject = _name(name)
        builder = (
            _builder(subject, subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        self._write("ca", key, builder.sign(key, hashes.SHA256()))
        self.crl(crl_days)

    def issue(self, name: str, days: int = CERTIFICATE_DAYS) -> None:
        """Make a key and a certificate.

        Args:
            name: the CN, and the name of both files.
            days: how long the certificate is valid.

        Raises:
            CaError: there is one already that is not revoked, or there is no CA.
        """
        if not name or "/" in name or name in (".", "..", "ca"):
            raise CaError(f"{name!r} cannot be the name of a signer: it is also the name of a file")
        if self._file(name, "crt").exists() and not self._is_revoked(self.certificate(name)):
            raise CaError(f"{name} has a certificate already; revoke it first")
        ca_key, ca = self._key(), self.certificate("ca")
        key = rsa.generate_private_key(65537, BITS)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        builder = (
            _builder(_name(name), ca.subject, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority, critical=False)
        )
        self._write(name, key, builder.sign(ca_key, hashes.SHA256()))

    def revoke(self, name: str, days: int = CRL_DAYS) -> None:
        """Put a certificate on the CRL.

        Args:
            name: the signer.
            days: how long the new CRL is valid.

        Raises:
            CaError: there is no such certificate, or it is the CA's.
        """
        if name == "ca":
            raise CaError("the CA cannot revoke itself: make a new one")
        self.crl(days, self.certificate(name))

    def crl(self, days: int = CRL_DAYS, also: x509.Certificate | None = None) -> None:
        """Write the CRL anew.

        Args:
            days: how long it is valid.
            also: a certificate to put on it.

        Raises:
            CaError: there is no CA.
        """
        key, now = self._key(), datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate("ca").subject)
        builder = builder.last_update(now - BACKDATED).next_update(now + timedelta(days=days))
        entries = [entry for entry in self._revoked() if also is None or entry.serial_number != also.serial_number]
        if also is not None:
            revoked = x509.RevokedCertificateBuilder().serial_number(also.serial_number).revocation_date(now)
            entries.append(revoked.build())
        for entry in entries:
            builder = builder.add_revoked_certificate(entry)
        crl = builder.sign(key, hashes.SHA256())
        _replace(self.crl_file, crl.public_bytes(serialization.Encoding.PEM), 0o644)

    def certificate(self, name: str) -> x509.Certificate:
        """Read a certificate.

        Args:
            name: the signer; ``ca`` for the CA.

        Raises:
            CaError: there is none.
        """
        path = self._file(name, "crt")
        try:
            return x509.load_pem_x509_certificate(path.read_bytes())
        except OSError as error:
            raise CaError(f"{path}: {error.strerror}") from None

    def _key(self) -> rsa.RSAPrivateKey:
        path = self._file("ca", "key")
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except OSError as error:
            raise CaError(f"{path}: {error.strerror}; make a CA with `script/ca init {self.directory}`") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise CaError(f"{path} is not an RSA key")
        return key

    def _revoked(self) -> list[x509.RevokedCertificate]:
        return list(x509.load_pem_x509_crl(self.crl_file.read_bytes())) if self.crl_file.exists() else []

    def _is_revoked(self, certificate: x509.Certificate) -> bool:
        return certificate.serial_number in {entry.serial_number for entry in self._revoked()}

    def _write(self, name: str, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> None:
        pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        _replace(self._file(name, "key"), key.private_bytes(pem, pkcs8, plain), 0o600)
        _replace(self._file(name, "crt"), certificate.public_bytes(pem), 0o644)

    def _file(self, name: str, suffix: str) -> Path:
        return self.directory / f"{name}.{suffix}"


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file beside the old one, which nobody finds half written; its mode is right from the first byte on."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
    new.replace(path)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="script/ca", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="init|issue|revoke|crl")
    for verb, days, what in (
        ("init", CERTIFICATE_DAYS, "the CA's certificate"),
        ("issue", CERTIFICATE_DAYS, "the certificates"),
        ("revoke", CRL_DAYS, "the new CRL"),
        ("crl", CRL_DAYS, "the new CRL"),
    ):
        verbs.add_parser(verb).add_argument("directory", type=Path, metavar="DIR")
        verbs.choices[verb].add_argument(
            "--days", type=int, default=days, help=f"how long {what} will be valid (default: {days})"
        )
    for verb in ("issue", "revoke"):
        verbs.choices[verb].add_argument("names", nargs="+", metavar="NAME", help="the CN, and the name of its files")
    asked = parser.parse_args()
    ca = Ca(asked.directory)
    try:
        if asked.verb == "init":
            ca.init(days=asked.days)
        elif asked.verb == "crl":
            ca.crl(asked.days)
        for name in getattr(asked, "names", ()):
            (ca.issue if asked.verb == "issue" else ca.revoke)(name, asked.days)
    except (CaError, OSError, ValueError, OverflowError) as error:
        print(f"script/ca: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
