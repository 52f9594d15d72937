"""The role's module that brings files, directories and links of a host to the wanted state."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from fedmsg_relay_host.files import Diff, Files, Item, RefusedError

from role_modules import run_by_ansible

USER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name


def item(path: Path, state: str, **wanted: Any) -> Item:
    return Item(path=str(path), state=state, **{"owner": USER, "group": GROUP, **wanted})


def bring(path: Path, state: str, *, check: bool = False, **wanted: Any) -> list[Diff]:
    return Files(check=check).bring(item(path, state, **wanted))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def look(path: Path) -> list[tuple[Any, ...]]:
    """Everything below a path: names, kinds, modes, times and contents."""
    return [
        (one, one.lstat().st_mode, one.lstat().st_mtime_ns, one.read_bytes() if one.is_file() else None)
        for one in sorted(path.rglob("*"))
    ]


@pytest.fixture
def present(tmp_path: Path) -> Path:
    """A directory with a file, a link to it, and a directory that is not empty."""
    (tmp_path / "file").write_text("old\n")
    (tmp_path / "file").chmod(0o644)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "directory").mkdir(0o755)
    (tmp_path / "directory").chmod(0o755)
    (tmp_path / "directory/inner").write_text("inner\n")
    return tmp_path


def test_a_file_is_written_and_the_second_time_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    (diff,) = bring(path, "file", content="new\n")
    assert (diff["before"], diff["after"]) == ("", "new\n")
    assert (path.read_text(), mode(path)) == ("new\n", 0o644)
    before = look(tmp_path)
    assert bring(path, "file", content="new\n") == []
    assert look(tmp_path) == before


@pytest.mark.parametrize("there", [None, 0o644, 0o600])
def test_nobody_else_can_read_a_file_before_its_mode_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: int | None
) -> None:
    path = tmp_path / "bridge.toml"
    if there is not None:
        path.write_text("old")
        path.chmod(there)
    seen: list[dict[str, int]] = []
    change = os.fchown

    def watch(handle: int, owner: int, group: int) -> None:
        seen.append({one.read_text(): mode(one) for one in tmp_path.iterdir()})
        change(handle, owner, group)

    monkeypatch.setattr(os, "fchown", watch)
    bring(path, "file", content="password", mode="0640")
    old = {} if there is None else {"old": there}
    assert seen == [{**old, "password": 0o600}]
    assert (path.read_text(), mode(path)) == ("password", 0o640)
    assert [one.name for one in tmp_path.iterdir()] == ["bridge.toml"]


def test_nobody_else_can_read_a_copy_before_its_mode_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bridge.toml").write_text("password")
    (tmp_path / "bridge.toml").chmod(0o600)
    modes: list[int] = []
    set_all = shutil.copystat

    def watch(source: Path, target: Path, **more: Any) -> None:
        modes.append(mode(Path(target)))
        set_all(source, target, **more)

    monkeypatch.setattr(shutil, "copystat", watch)
    before = os.umask(0o022)
    try:
        Files().copy(str(tmp_path / "bridge.toml"), str(tmp_path / "adopted/bridge.toml"))
    finally:
        assert os.umask(before) == 0o022
    assert modes == [0o600]
    assert (mode(tmp_path / "adopted"), mode(tmp_path / "adopted/bridge.toml")) == (0o755, 0o600)


def test_an_empty_file_is_written_where_none_is(tmp_path: Path) -> None:
    assert bring(tmp_path / "file", "file", content="")
    assert (tmp_path / "file").read_bytes() == b""


def test_a_file_with_other_content_is_replaced_as_a_whole(present: Path) -> None:
    inode = (present / "file").stat().st_ino
    (diff,) = bring(present / "file", "file", content="new\n")
    assert (diff["before"], diff["after"], diff["before_header"]) == ("old\n", "new\n", str(present / "file"))
    assert (present / "file").stat().st_ino != inode
    assert sorted(path.name for path in present.iterdir()) == ["directory", "file", "link"]


def test_a_mode_alone_is_a_change(present: Path) -> None:
    inode = (present / "file").stat().st_ino
    (diff,) = bring(present / "file", "file", content="old\n", mode="0600")
    path = str(present / "file")
    assert diff == {"before": {"path": path, "mode": "0644"}, "after": {"path": path, "mode": "0600"}}
    assert (mode(present / "file"), (present / "file").stat().st_ino) == (0o600, inode)


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_stays(present: Path) -> None:
    (present / "file").chmod(0o600)
    # Also if the target has the wanted content.
    assert bring(present / "link", "file", content="old\n", mode="0640")
    assert not (present / "link").is_symlink()
    assert ((present / "link").read_text(), mode(present / "link")) == ("old\n", 0o640)
    assert ((present / "file").read_text(), mode(present / "file")) == ("old\n", 0o600)


def test_a_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    (diff,) = bring(tmp_path / "a/b", "directory", mode="0750")
    path = str(tmp_path / "a/b")
    assert diff == {"before": {"path": path, "state": "absent"}, "after": {"path": path, "state": "directory"}}
    assert (mode(tmp_path / "a"), mode(tmp_path / "a/b")) == (0o750, 0o750)
    assert bring(tmp_path / "a/b", "directory", mode="0750") == []


@pytest.mark.parametrize("wanted", ["0700", "3777", "0755"])
def test_a_directory_gets_exactly_its_mode(present: Path, wanted: str) -> None:
    bring(present / "directory", "directory", mode=wanted)
    assert mode(present / "directory") == int(wanted, 8)
    assert bring(present / "directory", "directory", mode=wanted) == []


def test_a_directory_that_only_has_to_be_there_keeps_its_mode(present: Path) -> None:
    assert bring(present / "directory", "directory", mode="0700", only_new=True) == []
    assert mode(present / "directory") == 0o755
    assert bring(present / "new", "directory", mode="0700", only_new=True)
    assert mode(present / "new") == 0o700


def test_a_link_to_a_directory_is_followed_only_where_that_is_wanted(present: Path) -> None:
    (present / "away").symlink_to("directory")
    with pytest.raises(RefusedError, match="away already exists as a link"):
        bring(present / "away", "directory", mode="0700", follow=False)
    assert mode(present / "directory") == 0o755
    assert bring(present / "away", "directory", mode="0700")
    assert mode(present / "directory") == 0o700
    assert (present / "away").is_symlink()


def test_attributes_are_not_set_through_a_link_that_comes_in_the_way(
    present: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a directory and the change of its mode its owner may put a link in its place."""
    monkeypatch.setattr("fedmsg_relay_host.files.kind_of", lambda _: "directory")
    with pytest.raises(OSError, match="link"):
        bring(present / "link", "directory", mode="0700", follow=False)
    assert mode(present / "file") == 0o644


def test_a_link_is_made_and_moved_atomically(present: Path) -> None:
    (diff,) = bring(present / "new", "link", src="file")
    assert diff["after"] == {"path": str(present / "new"), "src": "file", "state": "link"}
    (diff,) = bring(present / "new", "link", src="directory")
    path = str(present / "new")
    assert diff == {"before": {"path": path, "src": "file"}, "after": {"path": path, "src": "directory"}}
    assert os.readlink(present / "new") == "directory"  # noqa: PTH115
    assert bring(present / "new", "link", src="directory") == []
    assert sorted(one.name for one in present.iterdir()) == ["directory", "file", "link", "new"]


def test_a_link_replaces_a_file_and_points_to_nothing_only_by_force(present: Path) -> None:
    with pytest.raises(RefusedError, match="already exists as a file"):
        bring(present / "file", "link", src="directory")
    with pytest.raises(RefusedError, match="which does not exist"):
        bring(present / "new", "link", src="nothing")
    with pytest.raises(RefusedError, match="already exists as a directory"):
        bring(present / "directory", "link", src="file", force=True)
    assert bring(present / "file", "link", src="nothing", force=True)
    assert os.readlink(present / "file") == "nothing"  # noqa: PTH115


@pytest.mark.parametrize("name", ["file", "link", "directory"])
def test_a_path_is_removed(present: Path, name: str) -> None:
    (diff,) = bring(present / name, "absent")
    assert diff["before"] == {"path": str(present / name), "state": name}
    assert not os.path.lexists(present / name)
    assert bring(present / name, "absent") == []
    assert len(list(present.iterdir())) == 2


@pytest.mark.parametrize("state", ["file", "directory"])
def test_something_else_in_the_way_is_refused(present: Path, state: str) -> None:
    os.mkfifo(present / "fifo")
    for name in ("fifo", "directory" if state == "file" else "file"):
        with pytest.raises(RefusedError, match=f"{name} already exists as a "):
            bring(present / name, state, content="")


@pytest.mark.parametrize(
    ("name", "state", "wanted"),
    [
        ("new", "file", {"content": "new\n"}),
        ("a/new", "file", {"content": "new\n"}),
        ("file", "file", {"content": "new\n", "mode": "0600"}),
        ("file", "file", {"content": "old\n", "mode": "0600"}),
        ("link", "file", {"content": "old\n"}),
        ("a/b", "directory", {}),
        ("directory", "directory", {"mode": "0700"}),
        ("directory", "directory", {"owner": "nobody-has-this-name"}),
        ("new", "link", {"src": "file"}),
        ("link", "link", {"src": "directory"}),
        ("directory", "absent", {}),
    ],
)
def test_a_dry_run_says_the_same_and_changes_nothing(
    present: Path, name: str, state: str, wanted: dict[str, Any]
) -> None:
    before = look(present)
    diffs = bring(present / name, state, check=True, **wanted)
    assert diffs
    assert look(present) == before
    if name != "a/new" and "owner" not in wanted:
        said = bring(present / name, state, **wanted)
        assert said[0] == diffs[0]


def test_an_unknown_user_is_refused(present: Path) -> None:
    with pytest.raises(RefusedError, match="no user or group nobody-has-this-name"):
        bring(present / "file", "file", content="old\n", owner="nobody-has-this-name")


def test_ansible_runs_it(present: Path) -> None:
    """As Ansible's module: the list, the changed paths, the diff, and where it stops."""
    mine = {"owner": USER, "group": GROUP}
    files = [
        {"path": f"{present}/new", "state": "directory", **mine},
        {"path": f"{present}/new/file", "state": "file", "content": "text\n", **mine},
        {"path": f"{present}/file", "state": "file", "content": "old\n", **mine},
        {"path": f"{present}/directory", "state": "file", "content": "x", **mine},
    ]

    def run(*arguments: str, **parameters: Any) -> str:
        return run_by_ansible("fedmsg_relay_files", parameters, "--diff", *arguments)

    told = run("--check", files=files[:3])
    assert "CHANGED" in told
    assert "+text" in told
    assert not (present / "new").exists()
    told = run(files=files)
    assert f"{present}/directory already exists as a directory" in told
    assert f"- {present}/new/file" in told
    assert (present / "new/file").read_text() == "text\n"
    assert "SUCCESS" in run(files=files[:3])
    told = run(absent=[f"{present}/new", f"{present}/nothing"])
    assert f"- {present}/new\n" in told
    assert not (present / "new").exists()
    assert "SUCCESS" in run(absent=[f"{present}/new", f"{present}/nothing"])
