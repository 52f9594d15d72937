"""script/ca: what it makes is trusted, and what it revokes is not."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from run_ca import Ca, CaError

from certificates import TOPIC, envelope
from fedmsg_relay import signing
from fedmsg_relay.canonical import canonical
from fedmsg_relay.trust.authority import Authority, Unusable
from fedmsg_relay.trust.policy import Policy
from fedmsg_relay.trust.reasons import Reason
from fedmsg_relay.trust.verdict import Judge

SCRIPT = Path(__file__).parents[2] / "script/run_ca.py"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("days", ["99999999999", "999999999", "9999999"])
def test_a_time_that_no_certificate_can_have_is_said_in_one_line(tmp_path: Path, days: str) -> None:
    Ca(tmp_path).init()
    crl = (tmp_path / "crl.pem").read_bytes()
    for verb, *names in (["crl"], ["issue", "shell-a"]):
        done = run(verb, tmp_path, *names, "--days", days)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert done.stderr.startswith("script/ca: ")
    assert (tmp_path / "crl.pem").read_bytes() == crl
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.crt", "ca.key", "crl.pem"]


def verdict(directory: Path, signer: str) -> tuple[str | None, str | None]:
    pair = signing.Pair(signer, str(directory / f"{signer}.key"), str(directory / f"{signer}.crt"))
    body = canonical(signing.Signer(pair).sign(envelope()))
    judge = Judge(Authority(str(directory / "ca.crt"), str(directory / "crl.pem")), Policy({}))
    found = judge.judge(TOPIC.encode(), body)
    return found.reason, found.signer


def test_what_it_issues_is_trusted_and_what_it_revokes_is_not(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    wanted: list[tuple[str, list[str]]] = [("init", []), ("issue", ["shell-a", "shell-b"]), ("revoke", ["shell-b"])]
    for verb, names in wanted:
        done = run(verb, directory, *names)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert verdict(directory, "shell-a") == (None, "shell-a")
    assert verdict(directory, "shell-b") == (Reason.CERTIFICATE_REVOKED, "shell-b")
    assert run("crl", directory).returncode == 0
    assert verdict(directory, "shell-b") == (Reason.CERTIFICATE_REVOKED, "shell-b")
    again = run("issue", directory, "shell-a")
    assert (again.returncode, again.stderr) == (1, "script/ca: shell-a has a certificate already; revoke it first\n")
    assert run("issue", directory, "shell-b").returncode == 0
    assert verdict(directory, "shell-b") == (None, "shell-b")


def test_keys_are_for_their_owner_alone_and_in_no_other_file(tmp_path: Path) -> None:
    ca = Ca(tmp_path)
    ca.init()
    ca.issue("a")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ca.key": 0o600, "a.key": 0o600, "ca.crt": 0o644, "a.crt": 0o644, "crl.pem": 0o644}
    assert {path.name for path in tmp_path.iterdir() if "PRIVATE KEY" in path.read_text()} == {"ca.key", "a.key"}


def test_certificates_and_crls_may_run_out(tmp_path: Path) -> None:
    ca = Ca(tmp_path)
    ca.init()
    ca.issue("a", days=0)
    assert verdict(tmp_path, "a") == (Reason.CERTIFICATE_EXPIRED, "a")
    ca.crl(days=0)
    assert Authority(str(tmp_path / "ca.crt"), str(ca.crl_file)).current() == Unusable(str(ca.crl_file), "expired")


def test_what_cannot_be_done_is_one_line(tmp_path: Path) -> None:
    done = run("issue", tmp_path, "a")
    assert done.returncode == 1
    assert done.stderr == (
        f"script/ca: {tmp_path}/ca.key: No such file or directory; make a CA with `script/ca init {tmp_path}`\n"
    )
    ca = Ca(tmp_path)
    ca.init()
    for name in ("", "ca", "..", "a/b", "n" * 65):
        with pytest.raises((CaError, ValueError)):
            ca.issue(name)
    for name in ("ca", "nobody"):
        with pytest.raises(CaError):
            ca.revoke(name)
    with pytest.raises(CaError, match="holds a CA already"):
        ca.init()


def test_its_help_teaches() -> None:
    shown = run("--help").stdout
    assert all(f"script/ca {verb} DIR" in shown for verb in ("init", "issue", "revoke", "crl"))
    assert "default: 30" in run("crl", "--help").stdout
