"""The spool's files: how they come to be on disk, how many there may be, and in which order they stand."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fedmsg_relay import spool

# On disk: the file before its name, and its name before the script ends.


@dataclass
class Disk:
    """The calls of a process to the disk, and whether syncing a directory works."""

    calls: list[str] = field(default_factory=list)
    directory_can_be_synced: bool = True


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """The disk of spool.add: its calls go on to the real one, and are noted with the size that a file has then."""
    disk = Disk()
    rename, fsync = os.rename, os.fsync

    def noting_rename(old: str, new: str) -> None:
        disk.calls.append(f"rename {old} {new}")
        rename(old, new)

    def noting_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        disk.calls.append(f"sync {path}" if path.is_dir() else f"sync {path} {os.fstat(descriptor).st_size}")
        if path.is_dir() and not disk.directory_can_be_synced:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    monkeypatch.setattr(os, "rename", noting_rename)
    monkeypatch.setattr(os, "fsync", noting_fsync)
    return disk


def test_spool_add_syncs_the_file_renames_it_and_syncs_the_directory(tmp_path: Path, disk: Disk) -> None:
    added = [Path(path) for path in spool.add(str(tmp_path), [(b"t", b"1"), (b"t", b"22")])]
    expected = []
    for path in added:
        begun = path.with_name(f".{path.name}")
        expected += [f"sync {begun} {path.stat().st_size}", f"rename {begun} {path}"]
    assert disk.calls == [*expected, f"sync {tmp_path}"]


def test_from_python_what_may_not_be_on_disk_is_taken_back(tmp_path: Path, disk: Disk) -> None:
    disk.directory_can_be_synced = False
    with pytest.raises(spool.SpoolError, match="Input/output error; not sent"):
        spool.add(str(tmp_path), [(b"t", b"1"), (b"t", b"2")])
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_limited_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_BYTES", 1000)
    (first,) = spool.add(str(tmp_path), [(b"t", b"x" * 800)])
    with pytest.raises(spool.SpoolError, match="is full"):
        spool.add(str(tmp_path), [(b"t", b"x" * 300)])
    assert [str(path) for path in tmp_path.iterdir()] == [first]


@pytest.mark.parametrize(("entries", "expected"), [(9, False), (10, True), (1000, True)])
def test_in_a_spool_with_too_many_files_other_messages_are_presumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: int, expected: bool
) -> None:
    monkeypatch.setattr(spool, "LOOK_ENTRIES", 10)
    for number in range(entries):
        (tmp_path / f"{number}.junk").touch()
    assert spool.others_before(str(tmp_path)) == expected
    assert len(spool.add(str(tmp_path), [(b"t", b"{}")])) == 1


def test_a_batch_that_does_not_fit_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_FILES", 3)
    with pytest.raises(spool.SpoolError, match="is full"):
        spool.add(str(tmp_path), [(b"t", b"{}")] * 4)
    assert list(tmp_path.iterdir()) == []


def test_reading_what_is_not_a_file_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "1.msg").mkdir()
    before = list(Path("/proc/self/fd").iterdir())
    with pytest.raises(ValueError, match="not a regular file"):
        spool.read(str(tmp_path), "1.msg", 100)
    assert list(Path("/proc/self/fd").iterdir()) == before


def test_names_stay_in_order_when_the_clock_steps_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = spool.add(str(tmp_path), [(b"t", b"1")])
    monkeypatch.setattr("fedmsg_relay.spool.time.time_ns", lambda: 10**18)
    added += spool.add(str(tmp_path), [(b"t", b"2")] * 20)
    assert [str(tmp_path / name) for name in spool.pending(str(tmp_path))] == added
