"""The role refuses keys and certificates that cannot be used before it changes anything, and says why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fedmsg_relay_key_faults import file_faults, list_faults
from run_ca import Ca

NAMES = ["shell-pkgs01", "scm-pkgs01"]
NOW = datetime.now(UTC)
Files = dict[str, bytes | str]


@cache
def made(directory: Path) -> Files:
    """What a directory with a CA and the two pairs holds; also that of another CA, and a revoked pair."""
    ca = Ca(directory / "pki")
    ca.init(crl_days=30)
    for name in (*NAMES, "old-pkgs01"):
        ca.issue(name, days=100)
    ca.revoke("old-pkgs01")
    other = Ca(directory / "other")
    other.init()
    other.issue("scm-pkgs01")
    ours = {path.name: path.read_bytes() for path in (directory / "pki").iterdir()}
    theirs = {f"other/{path.name}": path.read_bytes() for path in (directory / "other").iterdir()}
    return {**ours, **theirs}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return made(tmp_path_factory.getbasetemp())


def faults(files: Files, names: list[str] = NAMES, days: float = 0) -> list[str]:
    return file_faults(files, names, "/srv/keys", NOW + timedelta(days=days))


def test_good_files_have_no_fault(files: Files) -> None:
    assert faults(files) == []
    assert faults(files, []) == []


def key(files: Files, *, passphrase: bytes = b"", pkcs1: bool = False) -> bytes:
    content = files["scm-pkgs01.key"]
    assert isinstance(content, bytes)
    loaded = serialization.load_pem_private_key(content, None)
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    form = serialization.PrivateFormat.TraditionalOpenSSL if pkcs1 else serialization.PrivateFormat.PKCS8
    return loaded.private_bytes(serialization.Encoding.PEM, form, encryption)


def ec_key() -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, form, serialization.NoEncryption()
    )


def test_a_key_of_the_old_kind_has_no_fault(files: Files) -> None:
    assert faults({**files, "scm-pkgs01.key": key(files, pkcs1=True)}) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda _: {"scm-pkgs01.key": "is missing"}, "scm-pkgs01.key is missing: put the pair there, or remove its"),
        (lambda _: {"scm-pkgs01.crt": "is missing"}, "scm-pkgs01.crt is missing: put the pair there, or remove its"),
        (lambda _: {"ca.crt": "is missing"}, "ca.crt is missing: put the CA's certificate there"),
        (lambda _: {"crl.pem": "is missing"}, "crl.pem is missing: put the CA's CRL there, which may be empty"),
        (lambda _: {"scm-pkgs01.key": "cannot be read (no vault)"}, "scm-pkgs01.key cannot be read (no vault): put"),
        (lambda f: {"scm-pkgs01.key": f["shell-pkgs01.key"]}, "scm-pkgs01.key does not belong to the certificate /srv"),
        (lambda f: {"scm-pkgs01.key": f["scm-pkgs01.crt"]}, "scm-pkgs01.key is not a private key in PEM"),
        (lambda f: {"scm-pkgs01.key": key(f)[:-200]}, "scm-pkgs01.key is not a private key in PEM"),
        (lambda f: {"scm-pkgs01.key": key(f, passphrase=b"x")}, "scm-pkgs01.key has a passphrase, which no script"),
        (lambda _: {"scm-pkgs01.key": ec_key()}, "scm-pkgs01.key is not an RSA key"),
        (lambda _: {"scm-pkgs01.crt": b"x"}, "scm-pkgs01.crt is not a certificate in PEM"),
        (lambda f: {"scm-pkgs01.crt": f["shell-pkgs01.crt"]}, "scm-pkgs01.crt has the CN 'shell-pkgs01', but the"),
        (
            lambda f: {name: f[f"other/{name}"] for name in ("scm-pkgs01.crt", "scm-pkgs01.key")},
            "scm-pkgs01.crt was not issued by the CA in ca.crt",
        ),
        (lambda f: {"crl.pem": f["other/crl.pem"]}, "crl.pem is not a CRL of the CA in ca.crt"),
        (lambda _: {"crl.pem": b""}, "crl.pem is not a CRL in PEM"),
        (lambda f: {"ca.crt": f["shell-pkgs01.crt"]}, "ca.crt is not the certificate of a root CA"),
        (lambda _: {"ca.crt": b"x"}, "ca.crt is not a certificate in PEM"),
    ],
)
def test_each_fault_is_a_sentence_with_file_and_remedy(
    files: Files, change: Callable[[Files], Files], sentence: str
) -> None:
    found = faults({**files, **change(files)})
    assert len(found) == 1
    assert found[0].startswith(f"/srv/keys/{sentence}")
    assert found[0].endswith(".")


def test_a_revoked_certificate_is_refused(files: Files) -> None:
    assert faults(files, ["old-pkgs01", *NAMES]) == [
        "/srv/keys/old-pkgs01.crt is revoked by crl.pem: issue a new pair."
    ]


def test_what_has_expired_is_refused(files: Files) -> None:
    (crl,) = faults(files, days=31)
    assert crl.startswith("/srv/keys/crl.pem expired on ")
    later = NOW + timedelta(days=31)
    assert file_faults(files, NAMES, "/srv/keys", later, revocation=False) == []
    assert file_faults(files, ["old-pkgs01"], "/srv/keys", later, revocation=False)
    found = faults(files, days=101)
    assert [sentence.split(" on ")[0] for sentence in found] == [
        "/srv/keys/crl.pem expired",
        "/srv/keys/shell-pkgs01.crt expired",
        "/srv/keys/scm-pkgs01.crt expired",
    ]
    assert faults(files, [], days=3651)[0].startswith("/srv/keys/ca.crt expired on ")


def test_what_is_not_valid_yet_is_refused(files: Files) -> None:
    assert faults(files, days=-1)[0].startswith("/srv/keys/ca.crt is not valid before ")


def test_no_sentence_has_any_of_a_key(files: Files) -> None:
    secret = key(files).decode()
    damaged = [secret.replace("A", "B"), secret[:400], secret.replace("PRIVATE KEY", "RSA PRIVATE KEY"), secret * 2]
    lines = [line[:20] for line in secret.splitlines()[1:-1]]
    for one in damaged:
        for sentence in faults({**files, "scm-pkgs01.key": one.encode()}):
            assert not any(line in sentence for line in lines)


@pytest.mark.parametrize(
    ("certs", "sign", "beginnings"),
    [
        ([], False, []),
        ([{"service": "shell"}], True, []),
        ([{"service": "host", "alias": "shell"}], True, []),
        ([], True, ["fedmsg_relay_sign is set, but fedmsg_relay_certs has no service (or alias) 'shell'"]),
        ([{"service": "scm"}], True, ["fedmsg_relay_sign is set, but fedmsg_relay_certs has no service"]),
        ([{"service": "a/b"}], False, ["the service 'a/b' in fedmsg_relay_certs is also the name of a file"]),
        ([{"service": ".."}], False, ["the service '..' in fedmsg_relay_certs is also the name of a file"]),
        ([{"service": ""}], False, ["the service '' in fedmsg_relay_certs is also the name of a file"]),
        ([{"service": "a"}, {"service": "b", "alias": "a"}], False, ["fedmsg_relay_certs has 'a' twice"]),
    ],
)
def test_a_list_that_cannot_work_is_refused(certs: list[dict[str, str]], sign: bool, beginnings: list[str]) -> None:
    found = list_faults(certs, sign=sign)
    assert [sentence[: len(beginning)] for sentence, beginning in zip(found, beginnings, strict=True)] == beginnings
