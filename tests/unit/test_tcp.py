"""Connections of libzmq are known by their numbers, which may be those of other files by now."""

from __future__ import annotations

from pathlib import Path

from fedmsg_relay import tcp


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_number_that_is_not_a_connection_any_more_costs_no_file_descriptor(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        before = open_files()
        for _ in range(10):
            assert tcp.flow(file.fileno()) is None
        assert open_files() == before
