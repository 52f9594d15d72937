"""Signing: which key, what is said when it cannot be used, and that no error shows any of it."""

from __future__ import annotations

import base64
import datetime
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from certificates import Pair, TestCa, envelope, name, rsa_key
from fedmsg_relay import signing
from fedmsg_relay.canonical import canonical, signed_part
from fedmsg_relay.commands import deliver
from fedmsg_relay.config import DEFAULTS
from fedmsg_relay.errors import ConfigError, NotWellFormedError

HOST = os.uname().nodename.partition(".")[0]
FORMATS = {"PKCS#8": serialization.PrivateFormat.PKCS8, "PKCS#1": serialization.PrivateFormat.TraditionalOpenSSL}
PLAIN = serialization.NoEncryption()
NAME = "shell-app01.example.org"


def key_text(key: Any, form: str = "PKCS#8", lock: serialization.KeySerializationEncryption = PLAIN) -> bytes:
    text: bytes = key.private_bytes(serialization.Encoding.PEM, FORMATS[form], lock)
    return text


@pytest.fixture(scope="module")
def pair() -> Pair:
    return TestCa().issue(NAME)


@pytest.fixture
def config(tmp_path: Path, pair: Pair) -> dict[str, Any]:
    (tmp_path / f"{NAME}.crt").write_bytes(pair.pem)
    (tmp_path / f"{NAME}.key").write_bytes(key_text(pair.key))
    certnames = {f"shell.{HOST}": NAME}
    return {"sign_messages": True, "ssldir": str(tmp_path), "certnames": certnames, "cert_prefix": "shell"}


def fault(config: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as raised:
        signing.signer(config)
    assert raised.value.exit_code == 78
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("bits", [0, 1])
def test_a_key_signs_in_either_form(form: str, bits: int, config: dict[str, Any], tmp_path: Path) -> None:
    made = TestCa().issue(NAME, bits)
    (tmp_path / f"{NAME}.crt").write_bytes(b"Certificate:\n    Data: ...\n" + made.pem + TestCa().pem)
    (tmp_path / f"{NAME}.key").write_bytes(key_text(made.key, form))
    signed = signing.signer(config).sign(envelope())
    assert base64.b64decode(signed["certificate"]) == made.pem
    key = rsa_key(bits).public_key()
    key.verify(base64.b64decode(signed["signature"]), signed_part(signed), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    assert signed == {
        **envelope(),
        "crypto": "x509",
        **{field: signed[field] for field in ("signature", "certificate")},
    }
    assert canonical(signed) == canonical(json.loads(made.sign(envelope())))


class OldNumbers:
    """A private key's numbers before cryptography 39, which cannot be told to leave the check out."""

    new = rsa.RSAPrivateNumbers

    def __init__(self, *numbers: Any) -> None:
        self._numbers = self.new(*numbers)

    def private_key(self, backend: Any = None) -> rsa.RSAPrivateKey:
        return self._numbers.private_key(backend)


def test_a_key_signs_with_the_cryptography_of_debian_12(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = signing.signer(config).sign(envelope())
    signing._signers.clear()
    monkeypatch.setattr(rsa, "RSAPrivateNumbers", OldNumbers)
    assert signing.signer(config).sign(envelope()) == expected


def test_what_is_signed_is_what_is_sent(config: dict[str, Any]) -> None:
    class Own:
        def __json__(self) -> object:
            return {"now": time.monotonic_ns()}

    msg = {"own": Own(), "date": datetime.date(2026, 1, 2), "set": {1}, "keys": {10: "a", 9: "b", 1.5: "c"}}
    signed = signing.signer(config).sign(envelope(msg))
    assert signed == json.loads(canonical(signed))
    assert signed["msg"]["keys"] == {"10": "a", "9": "b", "1.5": "c"}
    again = signing.signer(config).sign(signed)
    assert again == signed


@pytest.mark.parametrize("msg", [object(), {1: "a", "b": 2}, {"n": 10**5000}])
def test_what_json_cannot_hold_is_not_well_formed(msg: Any, config: dict[str, Any]) -> None:
    with pytest.raises(NotWellFormedError):
        signing.signer(config).sign(envelope(msg))


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"cert_prefix": "scm"}, "scm"),
        ({"cert_prefix": "scm", "name": "relay_inbound"}, "scm"),
        ({"name": "relay_inbound"}, "shell"),
        ({}, "shell"),
        ({"name": None}, "shell"),
        ({"name": "bodhi.app01"}, "bodhi"),
    ],
)
def test_certnames_are_looked_up_as_stock_does(more: dict[str, Any], expected: str) -> None:
    certnames = {f"scm.{HOST}": "scm", f"shell.{HOST}": "shell", "bodhi.app01": "bodhi"}
    found = signing.pair({"certnames": certnames, **more})
    assert found == (expected, f"/etc/pki/fedmsg/{expected}.key", f"/etc/pki/fedmsg/{expected}.crt")


def test_a_host_is_told_which_name_of_its_certificate_is_missing(config: dict[str, Any]) -> None:
    for certnames in ({}, None, {f"shell.{HOST}": None}, {f"shell.{HOST}": ""}):
        assert f"certnames['shell.{HOST}'] must name" in fault({**config, "certnames": certnames})


def test_gpg_is_refused(config: dict[str, Any]) -> None:
    assert "crypto_backend is 'gpg'" in fault({**config, "crypto_backend": "gpg"})


@pytest.mark.parametrize("suffix", ["key", "crt"])
def test_a_missing_file_is_named(suffix: str, config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.{suffix}"
    path.unlink()
    assert fault(config) == f"cannot sign: there is no {path}"


def broken(text: bytes) -> bytes:
    """The key with one of its numbers cut short, so that its lengths are wrong."""
    lines = text.splitlines()
    return b"\n".join([*lines[:3], *lines[5:], b""])


def no_crt(text: bytes) -> bytes:
    return text.replace(b"PRIVATE KEY", b"PUBLIC KEY")


DAMAGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "encrypted": (
        lambda: key_text(rsa_key(1), "PKCS#8", serialization.BestAvailableEncryption(b"secret")),
        "is encrypted",
    ),
    "encrypted, the old way": (
        lambda: key_text(rsa_key(1), "PKCS#1", serialization.BestAvailableEncryption(b"secret")),
        "is encrypted",
    ),
    "EC": (lambda: key_text(ec.generate_private_key(ec.SECP256R1())), "is not an RSA key"),
    "EC, the old way": (lambda: key_text(ec.generate_private_key(ec.SECP256R1()), "PKCS#1"), "is not an RSA key"),
    "damaged": (lambda: broken(key_text(rsa_key(1))), "is damaged"),
    "damaged, the old way": (lambda: broken(key_text(rsa_key(1), "PKCS#1")), "is damaged"),
    "not base64": (lambda: key_text(rsa_key(1)).replace(b"M", b"!"), "is damaged"),
    "no key": (lambda: no_crt(key_text(rsa_key(1))), "holds no private key"),
    "empty": (bytes, "holds no private key"),
    "of another certificate": (lambda: key_text(rsa_key(2)), "does not belong to the certificate"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_key_that_cannot_sign_is_named_and_not_shown(damage: str, config: dict[str, Any], tmp_path: Path) -> None:
    make, expected = DAMAGE[damage]
    text = make()
    (tmp_path / f"{NAME}.key").write_bytes(text)
    with pytest.raises(ConfigError) as raised:
        signing.signer(config)
    assert f"{tmp_path}/{NAME}.key" in str(raised.value)
    assert expected in str(raised.value)
    assert not shown(raised.value, text)


def test_the_search_for_key_material_finds_a_planted_key() -> None:
    text = key_text(rsa_key(1))
    numbers = rsa_key(1).private_numbers()
    assert isinstance(numbers.p, int)
    assert shown(ConfigError(f"cannot sign: {text.splitlines()[3].decode()}"), text)
    assert shown(ConfigError(f"cannot sign: {numbers.p}"), text)
    assert shown(ConfigError(f"cannot sign: {numbers.d:x}"), text)


def shown(error: BaseException, text: bytes) -> list[str]:
    """What of a key an error shows: a line of its file, or a long run of digits."""
    chain: BaseException | None = error
    said = ""
    while chain is not None:
        said += repr(chain) + str(chain)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    lines = [line.decode() for line in text.splitlines() if line and b"-----" not in line and b":" not in line]
    long = [word for word in said.replace("'", " ").replace("(", " ").split() if len(word) > 40 and word.isalnum()]
    return [line for line in lines if line in said] + long


@pytest.mark.parametrize(
    "damage", ["", "nothing here", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_certificate_that_cannot_be_used_is_named(damage: str, config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.crt").write_text(damage)
    assert f"the certificate {tmp_path}/{NAME}.crt cannot be used" in fault(config)


def test_the_key_is_read_once_a_process(config: dict[str, Any], tmp_path: Path) -> None:
    first = signing.signer(config)
    (tmp_path / f"{NAME}.key").unlink()
    assert signing.signer({**config, "other": 1}) is first


def test_a_check_tells_as_what_this_user_could_sign(config: dict[str, Any], tmp_path: Path) -> None:
    assert signing.check({**config, "sign_messages": False}) is None
    assert signing.check(config) == (NAME, f"{tmp_path}/{NAME}.key", f"{tmp_path}/{NAME}.crt")
    (tmp_path / f"{NAME}.key").unlink()
    with pytest.raises(ConfigError, match="there is no"):
        signing.check(config)


def test_a_check_finds_a_key_whose_numbers_do_not_fit(config: dict[str, Any], tmp_path: Path, pair: Pair) -> None:
    numbers = rsa_key(1).private_numbers()
    wrong = numbers.__class__(
        numbers.p, numbers.q, numbers.d, numbers.dmp1 ^ 2, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    (tmp_path / f"{NAME}.key").write_bytes(key_text(wrong))
    with pytest.raises(ConfigError, match="is damaged"):
        signing.check(config)
    assert pair.certificate.subject == name(NAME)


class Forbidding:
    """A key on a host whose OpenSSL forbids SHA-1, as cryptography shows it."""

    def sign(self, *_: object) -> bytes:
        raise UnsupportedAlgorithm("sha1 is not supported by this backend for RSA signing.")


def test_a_host_that_forbids_sha1_is_told_so(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = signing.signer(config)
    monkeypatch.setattr(signer, "_key", Forbidding())
    with pytest.raises(ConfigError, match="forbids RSA signatures with SHA-1: sha1 is not supported"):
        signer.sign({})
    # The delivery leaves what it cannot sign.
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "1.msg").write_bytes(b"fedmsg-spool 1 msg\nm\nt\n1\n2026-x\nu\n{}")
    with pytest.raises(deliver.CannotSignError):
        deliver.deliver({**DEFAULTS, **config}, str(spool), 1.0)
    assert (spool / "1.msg").exists()
