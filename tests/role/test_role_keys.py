"""The role's module that brings keys to a host: what changes, and in which order."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from fedmsg_relay_host.files import RefusedError
from fedmsg_relay_host.keys import Item, Keys, Places

from role_modules import MODULES

USER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name


class Host:
    """The places of a host, below a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "pki/fedmsg"
        self.manifest = directory / "etc/keys"
        self.backups = directory / "backups"

    def keys(self, files: dict[str, str], *, check: bool = False, mode: str = "0640", **owned: str) -> Keys:
        places = Places(self.directory, self.manifest, "# header", self.backups, "/srv/keys")
        items = [
            Item(name, **{"owner": USER, "group": GROUP, **owned}, mode=mode, sha256=digest(text), content=text)
            for name, text in files.items()
        ]
        return Keys(places, items, check=check)

    def path(self, name: str) -> Path:
        return self.directory / name

    def listed(self) -> list[str]:
        return self.manifest.read_text().splitlines()[1:] if self.manifest.exists() else []


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def paths(diffs: list[dict[str, Any]]) -> list[str]:
    return [Path(diff["after"]["path"]).name for diff in diffs]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_files_come_with_their_mode_and_a_second_time_nothing_changes(host: Host) -> None:
    files = {"a.crt": "certificate", "a.key": "key"}
    assert host.keys(files).compare()["differ"] == [str(host.path("a.crt")), str(host.path("a.key"))]
    assert paths(host.keys(files).bring()) == ["a.crt", "a.key"]
    assert {path.name: path.read_text() for path in host.directory.iterdir()} == files
    assert stat.S_IMODE(host.path("a.key").stat().st_mode) == 0o640
    assert host.listed() == [str(host.path("a.crt")), str(host.path("a.key"))]
    before = [(path, path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(host.directory.iterdir())]
    assert host.keys(files).bring() == []
    assert host.keys(files).compare() == {"differ": [], "foreign": [], "dropped": [], "unknown": []}
    assert before == [(path, path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(host.directory.iterdir())]


def test_only_what_differs_is_touched(host: Host) -> None:
    host.keys({"a.crt": "old", "b.crt": "same"}).bring()
    inode = host.path("b.crt").stat().st_ino
    assert paths(host.keys({"a.crt": "new", "b.crt": "same"}).bring()) == ["a.crt"]
    assert host.path("a.crt").read_text() == "new"
    assert host.path("b.crt").stat().st_ino == inode


def test_a_mode_alone_is_changed_in_place(host: Host) -> None:
    host.keys({"a.key": "key"}).bring()
    inode = host.path("a.key").stat().st_ino
    (diff,) = host.keys({"a.key": "key"}, mode="0600").bring()
    assert (diff["before"]["mode"], diff["after"]["mode"]) == ("0640", "0600")
    assert (stat.S_IMODE(host.path("a.key").stat().st_mode), host.path("a.key").stat().st_ino) == (0o600, inode)


def test_a_dry_run_says_the_same_and_changes_nothing(host: Host) -> None:
    host.keys({"a.key": "old", "b.key": "dropped"}).bring()
    before = {path: path.read_bytes() for path in host.directory.iterdir()}
    dry = host.keys({"a.key": "new"}, check=True)
    told = dry.bring() + dry.drop()
    assert before == {path: path.read_bytes() for path in host.directory.iterdir()}
    wet = host.keys({"a.key": "new"})
    assert told == wet.bring() + wet.drop()


def test_a_pair_is_renamed_after_both_files_are_complete(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.keys({"a.crt": "old", "a.key": "old"}).bring()
    seen: list[list[tuple[str, str, int]]] = []
    replace = Path.replace

    def watch(path: Path, target: Path) -> Path:
        if target != host.manifest:
            files = sorted(host.directory.iterdir())
            seen.append([(one.name, one.read_text(), stat.S_IMODE(one.stat().st_mode)) for one in files])
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", watch)
    host.keys({"a.crt": "new", "a.key": "new"}).bring()
    old = [("a.crt", "old", 0o640), ("a.key", "old", 0o640)]
    beside = [(".a.crt.new", "new", 0o640), (".a.key.new", "new", 0o640)]
    assert seen == [[*beside, *old], [beside[1], ("a.crt", "new", 0o640), old[1]]]


def test_nobody_else_can_read_a_file_before_its_mode_is_set(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    change = os.fchown

    def watch(handle: int, owner: int, group: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        change(handle, owner, group)

    monkeypatch.setattr(os, "fchown", watch)
    host.keys({"a.key": "key"}).bring()
    assert modes == [0o600]


def test_a_write_that_fails_leaves_the_old_pair_and_nothing_beside_it(host: Host) -> None:
    host.keys({"a.crt": "old", "a.key": "old"}).bring()
    host.path("b.key").mkdir()
    with pytest.raises(RefusedError, match=r"b\.key already exists as a directory"):
        host.keys({"a.crt": "new", "a.key": "new", "b.key": "new"}).bring()
    with pytest.raises(RefusedError, match="there is no group no-such-group"):
        host.keys({"a.crt": "new", "a.key": "new"}, group="no-such-group").bring()
    assert sorted(path.name for path in host.directory.iterdir()) == ["a.crt", "a.key", "b.key"]
    assert host.path("a.key").read_text() == "old"


def test_unknown_users_and_groups_are_named(host: Host) -> None:
    found = host.keys({"a.key": "key"}, owner="no-such-user", group="no-such-group").compare()
    assert found["unknown"] == ["user no-such-user", "group no-such-group"]


def test_what_is_dropped_is_removed_and_nothing_else(host: Host) -> None:
    host.keys({"a.key": "key", "b.key": "key"}).bring()
    host.path("theirs.key").write_text("key")
    keys = host.keys({"a.key": "key"})
    assert keys.compare()["dropped"] == [str(host.path("b.key"))]
    assert paths(keys.drop()) == ["b.key"]
    assert host.listed() == [str(host.path("a.key"))]
    assert paths(host.keys({}).drop()) == ["a.key"]
    assert sorted(path.name for path in host.directory.iterdir()) == ["theirs.key"]
    assert not host.manifest.exists()
    host.path("theirs.key").unlink()
    host.keys({"a.key": "key"}).bring()
    host.keys({}).drop()
    assert not host.directory.exists()


def test_a_file_of_others_is_kept_as_a_copy_when_it_is_replaced(host: Host) -> None:
    host.directory.mkdir(parents=True)
    host.path("a.key").write_text("theirs")
    host.path("a.key").chmod(0o640)
    host.path("b.key").write_text("same")
    keys = host.keys({"a.key": "ours", "b.key": "same"})
    assert keys.compare()["foreign"] == [str(host.path("a.key"))]
    keys.bring()
    copy = host.backups / host.path("a.key").relative_to("/")
    assert (copy.read_text(), stat.S_IMODE(copy.stat().st_mode)) == ("theirs", 0o640)
    assert host.path("a.key").read_text() == "ours"
    assert host.listed() == [str(host.path("a.key"))], "the role did not write b.key, and will not remove it"
    made = [path for path in copy.parents if path.is_relative_to(host.backups)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o755}, "only the copy may be private"


def test_a_link_is_replaced_and_its_target_stays(host: Host, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("key")
    host.directory.mkdir(parents=True)
    host.path("a.key").symlink_to(target)
    keys = host.keys({"a.key": "key"})
    assert keys.compare()["foreign"] == [str(host.path("a.key"))], "a link is not the wanted file"
    keys.bring()
    assert not host.path("a.key").is_symlink()
    assert target.read_text() == "key"


def test_neither_the_systemd_journal_nor_the_result_has_any_content(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _, text, **more: logged.append(f"{text} {more}"))
    content = "-----BEGIN\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END\n"
    wanted = {"name": "a.key", "owner": USER, "group": GROUP, "mode": "0640", "sha256": digest(content)}
    options = {
        "directory": str(host.directory),
        "manifest": str(host.manifest),
        "files": [wanted],
        "contents": {"a.key": content},
        "_ansible_no_log": False,  # as of every task that does not say otherwise
        "_ansible_diff": True,
    }
    [module] = [one for one in MODULES if one.__name__ == "fedmsg_relay_keys"]
    with patch_module_args(options), pytest.raises(SystemExit) as ended:
        module.main()
    told = capsys.readouterr().out
    assert ended.value.code == 0, told
    assert host.path("a.key").read_text() == content
    assert logged, "Ansible logs how a module is called"
    assert "MIIE" not in told + " ".join(logged)
