"""The role reads a host's files: the marker of each, the releases, and the times of writing."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from fedmsg_relay_host.installation import Places

from looked import MARKER, OURS, only, places_below


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return places_below(tmp_path)


def test_files_with_the_marker_are_the_roles_and_all_others_are_foreign(places: Places) -> None:
    unit, rotate, toml = map(Path, places.files)
    assert only(places, "files") == {"ours": [], "foreign": []}
    unit.write_text(OURS)
    rotate.write_text(f"x {MARKER}\n")
    toml.write_text(f"x\n{MARKER}\n")
    assert only(places, "files") == {"ours": [str(unit), str(toml)], "foreign": [str(rotate)]}


@pytest.mark.parametrize("kind", ["link", "dead link", "directory", "binary"])
def test_what_the_role_never_writes_is_foreign(places: Places, kind: str) -> None:
    unit, other = Path(places.files[0]), Path(places.home, "marked")
    other.write_text(OURS)
    if kind == "directory":
        unit.mkdir()
    elif kind == "binary":
        unit.write_bytes(OURS.encode() + b"\xff")
    else:
        unit.symlink_to(other if kind == "link" else "/nothing")
    assert only(places, "files") == {"ours": [], "foreign": [str(unit)]}


def test_commands_are_the_roles_if_they_lead_into_its_directory(places: Places) -> None:
    relay, logger = map(Path, places.commands)
    relay.symlink_to(f"{places.home}/current/bin/relay")
    logger.symlink_to(f"{places.home}-other/bin/logger")
    assert only(places, "files") == {"ours": [str(relay)], "foreign": [str(logger)]}
    relay.unlink()
    relay.write_text("#!/bin/sh\n")
    assert only(places, "files")["foreign"] == [str(relay), str(logger)]


def test_files_that_match_a_pattern_are_found(places: Places) -> None:
    (pattern,) = places.patterns
    ours, foreign = (Path(pattern.replace("*/*", f"{version}/dist-packages")) for version in ("3.11", "3.13"))
    for path in (ours, foreign):
        path.parent.mkdir(parents=True)
    ours.write_text(OURS)
    foreign.write_text("x\n")
    assert only(places, "files") == {"ours": [str(ours)], "foreign": [str(foreign)]}


def test_contents_that_cannot_be_read_are_empty(places: Places) -> None:
    toml = Path(places.contents[0])
    assert only(places, "contents") == {str(toml): ""}
    toml.write_bytes(b"\xff\n")
    assert only(places, "contents") == {str(toml): base64.b64encode(b"\xff\n").decode()}
    toml.unlink()
    toml.mkdir()
    assert only(places, "contents") == {str(toml): ""}


def test_releases_are_named_with_their_state(places: Places) -> None:
    none: dict[str, list[str]] = {"present": [], "complete": [], "used": [], "web": [], "bridge": []}
    assert only(places, "releases") == {"home": True, "current": "", **none}
    folder = Path(places.home, "releases")
    for number, name in enumerate(["1", "2", "3", ".hidden"]):
        (folder / name).mkdir()
        for mark in (".complete", ".used"):
            (folder / name / mark).touch()
            os.utime(folder / name / mark, (number, number))
    (folder / "1/.complete").unlink()
    (folder / "3/.web").touch()
    (folder / "3/.bridge").touch()
    (folder / "2/.used").unlink()
    (folder / "4").symlink_to("3")
    Path(places.home, "current").symlink_to("releases/3")
    paths = [str(folder / name) for name in "123"]
    assert only(places, "releases") == {
        "home": True,
        "current": "releases/3",
        "present": paths,
        "complete": paths[1:],
        "used": [paths[2], paths[0]],
        "web": [paths[2]],
        "bridge": [paths[2]],
    }


def test_the_newer_of_unit_and_link_counts(places: Places) -> None:
    assert only(places, "written") == 0
    Path(places.unit).touch()
    os.utime(places.unit, (1000.9, 1000.9))
    assert only(places, "written") == 1000
    Path(places.home, "current").symlink_to("releases/3")
    os.utime(Path(places.home, "current"), (2000, 2000), follow_symlinks=False)
    assert only(places, "written") == 2000


def test_the_user_may_be_there_or_not(places: Places) -> None:
    assert only(places, "account") == {"user": False, "group": False}
    root = Places(**{**vars(places), "user": "root"})
    assert only(root, "account") == {"user": True, "group": True}


def test_the_config_has_a_time_and_the_host_a_name(places: Places) -> None:
    assert only(places, "configured") == 0
    Path(places.config).touch()
    os.utime(places.config, (3000.9, 3000.9))
    assert only(places, "configured") == 3000
    assert only(places, "hostname") == os.uname().nodename
