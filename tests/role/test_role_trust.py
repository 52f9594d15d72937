"""What the role makes of the inventory's certs, and the figures of a relay that checks signatures."""

from __future__ import annotations

from typing import Any

import pytest
from fedmsg_relay_plan import trust
from fedmsg_relay_plan.trust import certnames, differences, key_files, policy, shell_group, trust_told, unsigned

SHELL = {"service": "shell", "owner": "root", "group": "sysadmin"}
SCM = {"service": "scm", "group": "packager", "can_send": ["git.receive", "git.branch"]}
BRIDGE = {"service": "bridge", "can_send": ["git.receive"], "alias": "gateway"}


@pytest.mark.parametrize(
    ("hosts", "extra", "wanted"),
    [
        ([], {}, {}),
        ([("app01", [], "")], {}, {}),
        ([("app01", [SHELL], "")], {}, {}),
        ([("pkgs01", [SHELL, SCM], "")], {}, {"git.branch": ["scm-pkgs01"], "git.receive": ["scm-pkgs01"]}),
        (
            [("pkgs02", [SCM], ""), ("pkgs01", [SCM], "pkgs01.example.org"), ("gw", [BRIDGE], "")],
            {},
            {
                "git.branch": ["scm-pkgs01.example.org", "scm-pkgs02"],
                "git.receive": ["bridge-gw", "scm-pkgs01.example.org", "scm-pkgs02"],
            },
        ),
        (
            [("pkgs01", [SCM], "")],
            {"*": ["bridge-out"], "wiki.edit": ["wiki-www"], "git.branch": ["scm-pkgs01", "scm-old"]},
            {
                "git.branch": ["bridge-out", "scm-old", "scm-pkgs01"],
                "git.receive": ["bridge-out", "scm-pkgs01"],
                "wiki.edit": ["bridge-out", "wiki-www"],
            },
        ),
        ([("pkgs01", [], "")], {"*": ["bridge-out"]}, {}),
        # What another host has is not validated before that host is in a run.
        ([("pkgs01", "no list", ""), ("pkgs02", ["no dict", {"service": "x", "can_send": None}], "")], {}, {}),
    ],
)
def test_the_policy_is_can_send_inverted(
    hosts: list[Any], extra: dict[str, list[str]], wanted: dict[str, list[str]]
) -> None:
    bus = {host: {"fedmsg_relay_certs": certs, "fedmsg_relay_cert_host": name} for host, certs, name in hosts}
    found = policy(bus, "org.fedoraproject.stg", extra)
    assert found == {f"org.fedoraproject.stg.{topic}": names for topic, names in wanted.items()}
    assert list(found) == sorted(found)


def test_a_host_outside_the_run_has_no_defaults_of_the_role() -> None:
    bus = {"pkgs01": {"fedmsg_relay_certs": [SCM]}, "app01": dict[str, Any]()}
    assert policy(bus, "x", {}) == {"x.git.branch": ["scm-pkgs01"], "x.git.receive": ["scm-pkgs01"]}


@pytest.mark.parametrize(
    ("known", "signs"),
    [
        ({}, False),
        ({"fedmsg_relay_sign": False}, False),
        ({"fedmsg_relay_sign": "no"}, False),
        ({"fedmsg_relay_sign": True}, True),
        ({"fedmsg_relay_sign": "Yes"}, True),
        ({"fedmsg_relay_needs": ["submit"]}, False),
        ({"fedmsg_relay_needs": ["outbound"]}, True),  # nobody publishes there
    ],
)
def test_a_host_where_scripts_publish_and_do_not_sign_is_named(known: dict[str, Any], signs: bool) -> None:
    assert unsigned({"pkgs02": {}, "pkgs01": known}) == (["pkgs02"] if signs else ["pkgs01", "pkgs02"])


@pytest.mark.parametrize(
    ("settings", "without"),
    [
        (None, False),
        ("text", False),
        ({"trust": {"crl": "/x"}}, False),
        ({"trust": "text"}, False),
        ({"trust": {"crl": ""}}, True),
    ],
)
def test_a_site_may_do_without_a_crl(settings: Any, without: bool) -> None:
    relays = {"app01": {}, "app02": {"fedmsg_relay_settings": settings}}
    assert trust.without_crl(relays) is without


def test_the_roles_own_user_need_not_be_there_before_it_gets_a_key() -> None:
    unknown = ["user git", "group fedmsg", "user fedmsg", "group git"]
    assert differences({"differ": ["/a", "/b"], "foreign": ["/b"], "unknown": unknown}, "fedmsg") == {
        "differ": ["/a", "/b"],
        "foreign": ["/b"],
        "unknown": ["group git", "user git"],
    }
    assert differences({"skipped": True}, "fedmsg") == {"differ": [], "foreign": [], "unknown": []}


def test_certnames_have_the_alias_or_service_and_the_hosts_short_name() -> None:
    assert certnames([SHELL, BRIDGE], "gw.example.org", "gw.internal") == {
        "shell.gw": "shell-gw.example.org",
        "gateway.gw": "bridge-gw.example.org",
    }
    assert certnames([], "gw.example.org", "gw.internal") == {}


def test_a_host_gets_ca_and_crl_and_each_certificate_before_its_key() -> None:
    def file(name: str, mode: str, owner: str = "root", group: str = "root") -> dict[str, str]:
        return {"name": name, "owner": owner, "group": group, "mode": mode}

    assert key_files([], "pkgs01") == [file("ca.crt", "0644"), file("crl.pem", "0644")]
    assert key_files([SHELL, {"service": "x", "owner": "mailman"}], "pkgs01")[2:] == [
        file("shell-pkgs01.crt", "0644", group="sysadmin"),
        file("shell-pkgs01.key", "0640", group="sysadmin"),
        file("x-pkgs01.crt", "0644", owner="mailman"),
        file("x-pkgs01.key", "0640", owner="mailman"),
    ]


@pytest.mark.parametrize(
    ("certs", "group"),
    [
        ([], ""),
        ([SCM], ""),
        ([SCM, SHELL], "sysadmin"),
        ([{"service": "shell"}], ""),  # the delivery of the spool does not become a member of root's group
        ([{"service": "host", "alias": "shell", "group": "wheel"}], "wheel"),
    ],
)
def test_the_delivery_of_the_spool_has_the_group_of_the_shell_certificate(certs: list[Any], group: str) -> None:
    assert shell_group(certs) == group


def test_the_figures_of_a_relay_say_whether_the_next_step_is_safe() -> None:
    trust = {
        "signatures": "warn",
        "fault": "",
        "ca": {"file": "/etc/pki/fedmsg/ca.crt", "ends": 2000000000.0, "ends_soon": False},
        "crl": {"file": "/etc/pki/fedmsg/crl.pem", "ends": None, "ends_soon": False},
        "distrusted": {
            "unsigned": {"messages": 3, "source": "10.0.0.7", "signer": None},
            "not-permitted": {"messages": 1, "source": "10.0.0.8", "signer": "scm-pkgs01"},
        },
        "signers": [],
    }
    assert trust_told({"trust": trust}) == (
        "signatures warn, 1 distrusted as not-permitted (the last from 10.0.0.8 by scm-pkgs01), "
        "3 distrusted as unsigned (the last from 10.0.0.7), CA good until 2033-05-18"
    )
    quiet = {
        **trust,
        "signatures": "enforce",
        "fault": "/x: expired",
        "waiting": 5,
        "distrusted": {},
        "ca": None,
        "crl": None,
    }
    assert trust_told({"trust": quiet}) == (
        "signatures enforce, cannot be checked: /x: expired, 5 unchecked in the quarantine, "
        "no message distrusted since the relay started"
    )
    assert trust_told({}).startswith("signatures unknown")
