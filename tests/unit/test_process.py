"""The version of the program that runs: the release that the role installed, where there is one."""

from __future__ import annotations

import sys

import pytest

from fedmsg_relay import __version__
from fedmsg_relay.runtime import process

RELEASE = f"{__version__}+3f2a91c0d4.py311"


@pytest.mark.parametrize(
    ("prefix", "version"),
    [
        (f"/opt/fedmsg-relay/releases/{RELEASE}", RELEASE),
        ("/opt/fedmsg-relay/releases/another", __version__),
        (f"/home/someone/{RELEASE}", __version__),
        ("/usr", __version__),
    ],
)
def test_the_version_is_the_release_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, prefix: str, version: str
) -> None:
    monkeypatch.setattr(sys, "prefix", prefix)
    assert process.version() == version
