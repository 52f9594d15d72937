"""Signing messages, byte for byte as stock fedmsg 1.1.7 does it with x509.

The signature is RSA with PKCS#1 v1.5 and SHA-1 over the canonical form of the message. The key is read once a process.
This module is on the path of every script that signs. The names of ``cryptography`` that it loads are those that load
fast: its readers of keys and certificates cost a cold script more than all the rest.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from fedmsg_relay import der, pem
from fedmsg_relay.canonical import CREDENTIALS, canonical
from fedmsg_relay.config import sources
from fedmsg_relay.errors import ConfigError, NotWellFormedError
from fedmsg_relay.forks import setting_up

try:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
except ImportError as fault:
    raise ConfigError(f"cannot sign: {sys.executable} cannot load the Python package cryptography: {fault}") from None

SSLDIR = "/etc/pki/fedmsg"
"""Where keys and certificates are, unless ``ssldir`` of the global config names another directory."""

RSA = "PRIVATE KEY", "RSA PRIVATE KEY"
"""Labels of the keys that can sign: PKCS#8 and PKCS#1."""

_METHOD = padding.PKCS1v15(), hashes.SHA1()  # noqa: S303 -- stock's; every listener expects it
_RSA_ENCRYPTION = der.object_identifier("1.2.840.113549.1.1.1")

Json = dict[str, Any]


class Pair(NamedTuple):
    """A key and its certificate.

    Attributes:
        name: of both, as ``certnames`` of the global config says it.
        key: the file of the key.
        certificate: the file of the certificate.
    """

    name: str
    key: str
    certificate: str


class Signer:
    """A key and its certificate, ready to sign.

    Args:
        pair: their files.

    Raises:
        ConfigError: they cannot be read or used, or do not belong together.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._key, modulus = _read_key(pair.key)
        certificate = _read_certificate(pair.certificate)
        if modulus not in certificate:
            raise ConfigError(f"cannot sign: the key {pair.key} does not belong to the certificate {pair.certificate}")
        self._certificate = _encoded(pem.text(certificate, pem.CERTIFICATE).encode())

    def sign(self, envelope: Mapping[str, Any]) -> Json:
        """Sign a message. A message that is signed already is signed anew.

        Args:
            envelope: the message, with whatever stock's encoder takes in it.

        Returns:
            The signed message, in which everything is as JSON has it: what is signed is what is sent.

        Raises:
            NotWellFormedError: it cannot be encoded.
            ConfigError: this host forbids such signatures.
        """
        try:
            signed: Json = json.loads(canonical(envelope))
            for field in CREDENTIALS:
                signed.pop(field, None)
            signed["crypto"] = "x509"
            content = canonical(signed)
        except (TypeError, ValueError, RecursionError) as error:
            raise NotWellFormedError(f"not well-formed, not sent: {error}") from error
        try:
            with setting_up:  # OpenSSL has locks as well, which a child of a fork must not find locked
                signature = self._key.sign(content, *_METHOD)
        except _unsupported() as error:
            raise ConfigError(f"cannot sign: OpenSSL of this host forbids RSA signatures with SHA-1: {error}") from None
        signed["signature"] = _encoded(signature)
        signed["certificate"] = self._certificate
        return signed


def _unsupported() -> type[Exception]:
    """Get the error of OpenSSL; it is loaded only once there is an error."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    return UnsupportedAlgorithm


def pair(config: Mapping[str, Any]) -> Pair:
    """Find which key signs, as stock does.

    Args:
        config: the merged global config, with ``cert_prefix`` or ``name`` of the caller in it.

    Returns:
        The key and its certificate.

    Raises:
        ConfigError: the config names none, or wants gpg.
    """
    if config.get("crypto_backend") == "gpg":
        raise ConfigError(f"cannot sign: crypto_backend is 'gpg', which is not supported (read: {sources(config)})")
    host = os.uname().nodename.partition(".")[0]
    if "cert_prefix" in config:
        index = f"{config['cert_prefix']}.{host}"
    elif config.get("name") in (None, "relay_inbound"):
        index = f"shell.{host}"
    else:
        index = config["name"]
    names = config.get("certnames")
    name = names.get(index) if isinstance(names, dict) else None
    if not isinstance(name, str) or not name:
        raise ConfigError(
            f"cannot sign: certnames[{index!r}] must name a key and its certificate; it is {name!r} "
            f"(read: {sources(config)})"
        )
    directory = config.get("ssldir") or SSLDIR
    return Pair(name, f"{directory}/{name}.key", f"{directory}/{name}.crt")


_signers: dict[Pair, Signer] = {}


def signer(config: Mapping[str, Any]) -> Signer:
    """Get what signs for a config; the files are read once a process.

    Args:
        config: as for :func:`pair`.

    Returns:
        The signer.

    Raises:
        ConfigError: the config names none, or it cannot be used.
    """
    found = pair(config)
    if found not in _signers:
        _signers[found] = Signer(found)
    return _signers[found]


def check(config: Mapping[str, Any]) -> Pair | None:
    """Tell whether this user could sign, and as what. It takes a closer look at the key than signing does.

    Args:
        config: as for :func:`pair`.

    Returns:
        The key and its certificate; None where the config does not want messages signed.

    Raises:
        ConfigError: this user could not.
    """
    if not config.get("sign_messages"):
        return None
    found = Signer(pair(config))
    _read_key(found.pair.key, thorough=True)
    found.sign({})
    return found.pair


def _read_key(path: str, *, thorough: bool = False) -> tuple[rsa.RSAPrivateKey, bytes]:
    """Read a private key; also get the modulus, as a certificate would have it. No error shows any of the key."""
    data = _read(path)
    found = [label for label in pem.labels(data) if label.endswith("PRIVATE KEY")]
    if not found:
        raise ConfigError(f"cannot sign: {path} holds no private key in PEM")
    if found[0] == "ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in data:
        raise ConfigError(f"cannot sign: the key {path} is encrypted; use a key without a passphrase")
    if found[0] not in RSA:
        raise ConfigError(f"cannot sign: the key {path} is not an RSA key")
    try:
        numbers = _numbers(pem.first(data, found[0]), found[0])
        n, e, d, p, q, dmp1, dmq1, iqmp = numbers
        private = rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, rsa.RSAPublicNumbers(e, n))
        return _private_key(private, thorough=thorough), n.to_bytes(-(-n.bit_length() // 8), "big")
    except _NotRsaError:
        raise ConfigError(f"cannot sign: the key {path} is not an RSA key") from None
    except (ValueError, TypeError, OverflowError):  # which may show numbers of the key
        raise ConfigError(f"cannot sign: the key {path} is damaged") from None


def _private_key(numbers: rsa.RSAPrivateNumbers, *, thorough: bool) -> rsa.RSAPrivateKey:
    # The check costs more than all the rest, and a wrong number shows as a signature that is not valid.
    try:
        return numbers.private_key(unsafe_skip_rsa_key_validation=not thorough)
    except TypeError:  # before cryptography 39: Debian 12's own Python has 38, which always checks
        return numbers.private_key()


class _NotRsaError(ValueError):
    pass


def _numbers(content: bytes, label: str) -> list[int]:
    """Read modulus, exponents, primes and what belongs to them."""
    if label == "PRIVATE KEY":
        _, algorithm, key = der.sequence(content)[:3]
        identifier, *_ = der.sequence(algorithm.encoded)
        if identifier.content != _RSA_ENCRYPTION:
            raise _NotRsaError
        content = key.content
    version, *numbers = map(der.integer, der.sequence(content))
    if version != 0 or len(numbers) != 8:
        raise ValueError("not a key of two primes")
    return numbers


def _read_certificate(path: str) -> bytes:
    """Read the first certificate of a file."""
    data = _read(path)
    try:
        content = pem.first(data, *pem.CERTIFICATES)
        der.sequence(content)
    except ValueError as error:
        raise ConfigError(f"cannot sign: the certificate {path} cannot be used: {error}") from None
    return content


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise ConfigError(f"cannot sign: there is no {path}") from None
    except OSError as error:
        raise ConfigError(f"cannot sign: {path}: {error.strerror}{_readers(path)}") from None
    except ValueError as error:  # a NUL or a lone surrogate
        raise ConfigError(f"cannot sign: {path!r} is not the name of a file: {error}") from None


def _readers(path: str) -> str:
    """Say which users may read a file."""
    with setting_up:
        import grp  # noqa: PLC0415 -- only for this message
        import pwd  # noqa: PLC0415 -- likewise

    def name(number: int, find: Any) -> str:
        try:
            return str(find(number)[0])
        except KeyError:
            return str(number)

    me = name(os.geteuid(), pwd.getpwuid)
    try:
        status = os.stat(path)
    except OSError:
        return f"; this is user {me}, who may not look into {os.path.dirname(path)}"
    owner, group = name(status.st_uid, pwd.getpwuid), name(status.st_gid, grp.getgrgid)
    readers = [f"user {owner}"] if status.st_mode & 0o400 else []
    readers += [f"group {group}"] if status.st_mode & 0o040 else []
    return f"; readable for {' and '.join(readers) or 'root alone'}, and this is user {me}"


def _encoded(data: bytes) -> str:
    """Encode bytes as stock does, in lines of 76 characters."""
    return base64.encodebytes(data).decode()
