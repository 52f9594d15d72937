"""What hosts of a run know of each other: who has done its part. And which releases are kept."""

from __future__ import annotations

from typing import Any

import pytest
from fedmsg_relay_plan.progress import achieved, progress
from fedmsg_relay_plan.releases import command_links, release_link, superfluous

PLAN = {
    "relays": ["bus01", "bus02"],
    "leaving": ["app01", "app02"],
    "hosts": {"app01": {"steps": ["chain", "hand_over"]}, "app02": {"steps": ["retire"]}, "bus01": {"steps": ["rely"]}},
}


def test_only_relays_are_asked_what_they_have_achieved() -> None:
    hostvars: dict[str, dict[str, Any]] = {
        "app01": {"__fedmsg_relay_done": {"chained": True}},
        "app02": {},
        "bus01": {"__fedmsg_relay_done": {"ready": True}, "other": 1},
        "bus02": {},  # it does not answer
    }
    found = achieved(PLAN, hostvars)
    assert found == {"bus01": {"ready": True}, "bus02": {}, "app01": {"chained": True}, "app02": {}}


@pytest.mark.parametrize(
    ("done", "wanted"),
    [
        (
            {},
            {
                "carries": [],
                "unready": ["bus01", "bus02"],
                "unproved": ["bus01", "bus02"],
                "unchained": ["app01"],
                "failed": ["bus01", "bus02", "app01"],
                "why": "bus01: see above. bus02: see above. app01: see above.",
            },
        ),
        (
            {"bus01": {"ready": True, "carries": True, "proved": True}, "bus02": {"ready": True}},
            {
                "carries": ["bus01"],
                "unready": [],
                "unproved": ["bus02"],
                "unchained": ["app01"],
                "failed": ["bus02", "app01"],
                "why": "bus02: see above. app01: see above.",
            },
        ),
        (
            {
                "bus01": {"ready": True, "proved": True},
                "bus02": {"ready": True, "proved": True},
                "app01": {"tried": True, "chained": True, "failure": "it hears nothing"},
            },
            {
                "carries": [],
                "unready": [],
                "unproved": [],
                "unchained": [],
                "failed": ["app01"],
                "why": "app01: it hears nothing.",
            },
        ),
        (
            {
                "bus01": {"ready": True, "proved": True},
                "bus02": {"ready": True, "proved": True},
                "app01": {"chained": True, "handed_over": True},
            },
            {"carries": [], "unready": [], "unproved": [], "unchained": [], "failed": [], "why": ""},
        ),
    ],
)
def test_a_relay_that_has_not_done_its_part_is_named(done: dict[str, dict[str, Any]], wanted: dict[str, Any]) -> None:
    assert progress({host: done.get(host, {}) for host in ("bus01", "bus02", "app01", "app02")}, PLAN) == wanted


@pytest.mark.parametrize(
    ("version", "python", "link"),
    [("0.1.0+ab", "3.11", "releases/0.1.0+ab.py311"), ("", "3.11", ""), ("0.1.0+ab", "", "")],
)
def test_a_release_is_named_after_its_content_and_its_python(version: str, python: str, link: str) -> None:
    assert release_link(version, python) == link


@pytest.mark.parametrize(
    ("present", "used", "gone"),
    [
        ("abcd", "abcd", "cd"),
        ("abcd", "bac", "cd"),
        ("abcd", "", "bcd"),
        ("a", "a", ""),
    ],
)
def test_the_release_in_use_and_the_previous_one_are_kept(present: str, used: str, gone: str) -> None:
    assert superfluous({"present": list(present), "used": list(used)}, "a") == list(gone)


def test_a_command_is_a_link_into_the_release_in_use() -> None:
    assert command_links(["/usr/local/bin/fedmsg-relay"], "/opt/x/current/bin", force=True) == [
        {
            "path": "/usr/local/bin/fedmsg-relay",
            "state": "link",
            "src": "/opt/x/current/bin/fedmsg-relay",
            "force": True,
        }
    ]
