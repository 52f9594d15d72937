"""The role's filters for certnames, the routing policy, a host's files, and the figures of a relay that checks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "roles/fedmsg_relay/filter_plugins/fedmsg_relay_trust.py"


def load() -> dict[str, Any]:
    """The filters, as Ansible finds them."""
    spec = importlib.util.spec_from_file_location("role_trust_filters", PLUGIN)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    filters: dict[str, Any] = module.FilterModule().filters()
    return {name.removeprefix("fedmsg_relay_"): function for name, function in filters.items()}


FILTERS = load()

SHELL = {"service": "shell", "owner": "root", "group": "sysadmin"}
SCM = {"service": "scm", "group": "packager", "can_send": ["git.receive", "git.branch"]}
BRIDGE = {"service": "bridge", "can_send": ["git.receive"], "alias": "gateway"}


@pytest.mark.parametrize(
    ("hosts", "extra", "policy"),
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
    hosts: list[Any], extra: dict[str, list[str]], policy: dict[str, list[str]]
) -> None:
    found = FILTERS["policy"](hosts, "org.fedoraproject.stg", extra)
    assert found == {f"org.fedoraproject.stg.{topic}": names for topic, names in policy.items()}
    assert list(found) == sorted(found)


def test_certnames_have_the_alias_or_service_and_the_hosts_short_name() -> None:
    assert FILTERS["certnames"]([SHELL, BRIDGE], "gw.example.org", "gw") == {
        "shell.gw": "shell-gw.example.org",
        "gateway.gw": "bridge-gw.example.org",
    }
    assert FILTERS["certnames"]([], "gw.example.org", "gw") == {}


def test_a_host_gets_ca_and_crl_and_each_certificate_before_its_key() -> None:
    def file(name: str, mode: str, owner: str = "root", group: str = "root") -> dict[str, str]:
        return {"name": name, "owner": owner, "group": group, "mode": mode}

    assert FILTERS["key_files"]([], "pkgs01") == [file("ca.crt", "0644"), file("crl.pem", "0644")]
    assert FILTERS["key_files"]([SHELL, {"service": "x", "owner": "mailman"}], "pkgs01")[2:] == [
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
    assert FILTERS["shell_group"](certs) == group


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
    assert FILTERS["trust_told"]({"trust": trust}) == (
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
    assert FILTERS["trust_told"]({"trust": quiet}) == (
        "signatures enforce, cannot be checked: /x: expired, 5 unchecked in the quarantine, "
        "no message distrusted since the relay started"
    )
    assert FILTERS["trust_told"]({}).startswith("signatures unknown")
