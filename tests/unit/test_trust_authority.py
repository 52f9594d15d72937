"""The CA and its CRL: read anew when they change, and what is said when they cannot be used; what is remembered."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from certificates import DAY, IS_CA, NOW, TOPIC, Key, Pair, TestCa, envelope, name, rsa_key, usage
from fedmsg_relay.trust import signers as signers_module
from fedmsg_relay.trust.authority import Anchor, Authority, Unusable
from fedmsg_relay.trust.policy import Policy
from fedmsg_relay.trust.reasons import Reason
from fedmsg_relay.trust.signers import CACHED, Signers
from fedmsg_relay.trust.verdict import Judge


class Site(NamedTuple):
    """The files of a CA, an authority that reads them, and its two clocks."""

    ca: TestCa
    directory: Path
    authority: Authority
    now: list[float]
    ticks: list[float]

    def later(self, seconds: float = 1.0) -> Anchor | Unusable:
        """What the authority says some time later."""
        self.now[0] += seconds
        self.ticks[0] += seconds
        return self.authority.current()

    def put(self, name: str, content: bytes) -> Path:
        """Write a file as an operator does, and give it an older time than now."""
        path = self.directory / name
        path.write_bytes(content)
        os.utime(path, (self.now[0] - 100, self.now[0] - 100))
        return path

    def fault(self) -> str:
        """Why the authority cannot be used a second later."""
        found = self.later()
        assert isinstance(found, Unusable)
        return f"{Path(found.path).name}: {found.why}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    ca = TestCa()
    now, ticks = [NOW.timestamp()], [0.0]
    authority = Authority(*ca.write(tmp_path), lambda: now[0], lambda: ticks[0])
    made = Site(ca, tmp_path, authority, now, ticks)
    made.put("ca.crt", ca.pem)
    made.put("crl.pem", ca.crl())
    return made


def test_files_that_do_not_change_are_loaded_once(site: Site) -> None:
    first = site.later(0)
    assert isinstance(first, Anchor)
    assert all(site.later() is first for _ in range(5))


def test_the_files_are_looked_at_once_a_second(site: Site) -> None:
    first = site.later(0)
    site.put("crl.pem", site.ca.crl(1))
    assert site.later(0.5) is first
    second = site.later(0.5)
    assert isinstance(second, Anchor)
    assert second.revoked == {1}


def test_a_file_that_is_written_twice_at_once_is_read_twice(site: Site) -> None:
    crl = site.directory / "crl.pem"
    for serial in (1, 2, 3):
        crl.write_bytes(site.ca.crl(serial))
        os.utime(crl, (site.now[0], site.now[0]))  # one time of change, one size, and here one inode
        found = site.later()
        assert isinstance(found, Anchor)
        assert found.revoked == {serial}
    same = site.later()
    assert same is found  # read once more, and nothing new in it


@pytest.mark.parametrize("file", ["ca.crt", "crl.pem"])
def test_a_file_that_is_removed_and_comes_back(file: str, site: Site) -> None:
    assert isinstance(site.later(), Anchor)
    path = site.directory / file
    content = path.read_bytes()
    path.unlink()
    assert site.fault() == f"{file}: No such file or directory"
    path.mkdir()
    assert site.fault() == f"{file}: Is a directory"
    path.rmdir()
    site.put(file, content)
    assert isinstance(site.later(), Anchor)


@pytest.mark.parametrize("file", ["ca.crt", "crl.pem"])
def test_a_fifo_in_its_place_is_not_waited_for(file: str, site: Site) -> None:
    path = site.directory / file
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    assert site.fault() == f"{file}: not a regular file"
    path.unlink()
    site.put(file, content)
    assert isinstance(site.later(), Anchor)


def test_a_file_that_is_half_written_and_then_whole(site: Site) -> None:
    whole = site.ca.pem
    site.put("ca.crt", whole[:300])
    assert site.fault() == "ca.crt: its PEM block is damaged"
    site.put("ca.crt", whole)
    assert isinstance(site.later(), Anchor)


def test_a_ca_that_is_replaced_needs_its_own_crl(site: Site) -> None:
    other = TestCa(key=rsa_key(9))
    body = other.issue().sign(envelope())
    judge = Judge(site.authority, Policy({}), lambda: site.now[0])
    assert judge.judge(TOPIC.encode(), body).reason is Reason.CERTIFICATE_UNTRUSTED
    site.put("ca.crt", other.pem)
    assert site.fault() == "crl.pem: the CA has not signed it"
    assert judge.judge(TOPIC.encode(), body).reason is Reason.TRUST_UNUSABLE
    site.put("crl.pem", other.crl())
    site.later()
    assert judge.judge(TOPIC.encode(), body).reason is None


def test_a_revocation_counts_within_a_second(site: Site) -> None:
    judge = Judge(site.authority, Policy({}), lambda: site.now[0])
    pair = site.ca.issue()
    body = pair.sign(envelope())
    assert judge.judge(TOPIC.encode(), body).reason is None
    site.put("crl.pem", site.ca.crl(pair.certificate.serial_number))
    site.ticks[0] += 1
    assert judge.judge(TOPIC.encode(), body).reason is Reason.CERTIFICATE_REVOKED
    site.put("crl.pem", site.ca.crl())
    site.ticks[0] += 1
    assert judge.judge(TOPIC.encode(), body).reason is None


def test_a_crl_runs_out_by_the_clock_alone_and_is_renewed(site: Site) -> None:
    assert site.later(0) is site.authority.loaded()
    end = (NOW + 100 * DAY).timestamp()
    site.now[0] = end - 1
    assert isinstance(site.later(0.5), Anchor)
    site.put("ca.crt", TestCa(end=NOW + 1000 * DAY).pem)
    assert site.fault() == "crl.pem: expired"
    site.put("crl.pem", TestCa(end=NOW + 1000 * DAY).crl(end=NOW + 1000 * DAY))
    assert isinstance(site.later(), Anchor)
    site.now[0] = (NOW - 2 * DAY).timestamp()
    assert site.fault() == "ca.crt: not valid yet"


def test_what_ends_soon_is_told_two_weeks_before(site: Site) -> None:
    assert site.authority.ends() == []
    site.put("crl.pem", site.ca.crl(end=NOW + 14 * DAY))
    site.later(0.5)
    assert site.authority.ends() == []
    site.later()
    assert [(Path(window.path).name, window.end) for window in site.authority.ends()] == [
        ("crl.pem", (NOW + 14 * DAY).timestamp())
    ]
    site.put("crl.pem", b"")
    site.later()
    assert site.authority.ends() == []  # which the fault itself tells


def test_without_a_crl_nothing_is_revoked(site: Site) -> None:
    found = Authority(str(site.directory / "ca.crt")).current()
    assert isinstance(found, Anchor)
    assert not found.has_crl
    assert found.revoked == frozenset()


KEY_IDENTIFIER = (x509.AuthorityKeyIdentifier(b"other", None, None), False)
UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True)
CAS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "it holds no PEM block CERTIFICATE"),
    "not ASCII": (lambda: "é\n".encode() + TestCa().pem, "it is not PEM: it holds more than ASCII"),
    "a key": (lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "it holds no PEM block"),
    "no CA": (lambda: TestCa([]).pem, "it is not the certificate of a CA"),
    "a signer": (lambda: TestCa().issue().pem, "it is not the certificate of a root CA"),
    "of an intermediate CA": (lambda: TestCa(issuer=name("root")).pem, "it is not the certificate of a root CA"),
    "CA:FALSE": (
        lambda: TestCa([(x509.BasicConstraints(ca=False, path_length=None), True)]).pem,
        "it is not the certificate of a CA",
    ),
    "no keyCertSign": (lambda: TestCa([IS_CA, (usage("crl_sign"), True)]).pem, "its keyUsage does not permit it"),
    "unknown critical": (lambda: TestCa([IS_CA, UNKNOWN]).pem, "it has a critical extension that is not known"),
    "name constraints": (
        lambda: TestCa([IS_CA, (x509.NameConstraints([x509.DNSName("a")], None), True)]).pem,
        "it has name constraints, which are not supported",
    ),
}


@pytest.mark.parametrize("kind", CAS)
def test_a_ca_that_cannot_be_used_is_named_with_the_reason(kind: str, site: Site) -> None:
    make, expected = CAS[kind]
    site.put("ca.crt", make())
    assert site.fault().startswith(f"ca.crt: {expected}")


CRLS: dict[str, tuple[Callable[[TestCa], bytes], str]] = {
    "empty": (lambda _: b"", "it holds no PEM block X509 CRL"),
    "a certificate": (lambda ca: ca.pem, "it holds no PEM block X509 CRL"),
    "of another name": (lambda _: TestCa(subject=name("B")).crl(), "another CA has issued it"),
    "of another key": (lambda ca: ca.crl(extensions=[KEY_IDENTIFIER]), "another key of the CA has signed it"),
    "signed by another": (lambda ca: ca.crl(by=rsa_key(9)), "the CA has not signed it"),
    "critical": (lambda ca: ca.crl(extensions=[UNKNOWN]), "it has a critical extension"),
    "of the CA itself": (lambda ca: ca.crl(ca.certificate.serial_number), "it revokes the CA itself"),
    "of tomorrow": (lambda ca: ca.crl(start=NOW + DAY), "not valid yet"),
    "expired": (lambda ca: ca.crl(start=NOW - 2 * DAY, end=NOW - DAY), "expired"),
}


@pytest.mark.parametrize("kind", CRLS)
def test_a_crl_that_cannot_be_used_is_named_with_the_reason(kind: str, site: Site) -> None:
    make, expected = CRLS[kind]
    site.put("crl.pem", make(site.ca))
    assert site.fault() == f"crl.pem: {expected}"


def test_a_ca_that_may_not_sign_crls_has_none(site: Site) -> None:
    ca = TestCa([IS_CA, (usage("key_cert_sign"), True)])
    site.put("ca.crt", ca.pem)
    site.put("crl.pem", ca.crl())
    assert site.fault() == "crl.pem: the CA's keyUsage does not permit it to sign CRLs"


@pytest.mark.parametrize("make", [lambda: ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate])
def test_the_key_of_a_ca_need_not_be_rsa(make: Callable[[], Key], site: Site) -> None:
    ca = TestCa([IS_CA], key=make())
    site.put("ca.crt", ca.pem)
    site.put("crl.pem", ca.crl())
    judge = Judge(site.authority, Policy({}), lambda: site.now[0])
    assert judge.judge(TOPIC.encode(), ca.issue().sign(envelope())).reason is None
    assert judge.judge(TOPIC.encode(), site.ca.issue().sign(envelope())).reason is Reason.CERTIFICATE_UNTRUSTED


def field(pair: Pair) -> str:
    """The certificate as it stands in a message."""
    return base64.encodebytes(pair.pem).decode()


def test_a_certificate_is_judged_once_until_the_files_change(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def judge(text: str, anchor: Anchor) -> signers_module.Signer:
        judged.append(text)
        return original(text, anchor)

    original = signers_module.judge
    monkeypatch.setattr(signers_module, "judge", judge)
    signers = Signers()
    texts = [field(site.ca.issue()), field(TestCa(key=rsa_key(9)).issue()), "rubbish"]
    anchor = site.later()
    assert isinstance(anchor, Anchor)
    for _ in range(3):
        reasons = [signers.find(text, anchor).reason for text in texts]
        assert reasons == [None, Reason.CERTIFICATE_UNTRUSTED, Reason.CERTIFICATE_MALFORMED]
    assert judged == texts
    site.put("crl.pem", site.ca.crl(1))
    renewed = site.later()
    assert isinstance(renewed, Anchor)
    assert signers.find(texts[0], renewed).reason is None
    assert judged == [*texts, texts[0]]
    assert len(signers) == 1


def test_the_certificate_that_was_not_seen_for_longest_is_forgotten(site: Site) -> None:
    signers = Signers()
    anchor = site.later()
    assert isinstance(anchor, Anchor)
    first = signers.find("first", anchor)
    second = signers.find("second", anchor)
    for number in range(CACHED - 2):
        signers.find(str(number), anchor)
    assert len(signers) == CACHED
    assert signers.find("first", anchor) is first
    signers.find("one more", anchor)
    assert len(signers) == CACHED
    assert signers.find("first", anchor) is first
    assert first == second
