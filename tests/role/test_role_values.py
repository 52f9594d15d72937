"""Values of a wrong type, which Ansible's specs accept: each is refused with one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from fedmsg_relay_plan.values import DICTS, LISTS, fault_of

WELL: dict[str, Any] = {
    **{name: {} for name in DICTS},
    **{name: [] for name in LISTS},
    "fedmsg_relay_bridge": False,
    "fedmsg_relay_certs": [{"service": "scm", "can_send": ["git.receive"]}, {"service": "shell"}],
    "fedmsg_relay_policy_extra": {"git.receive": ["scm-x"]},
    "fedmsg_relay_settings": {"limits": {"keep_bytes": 1}},
}
FAULTS = {
    "fedmsg_relay_needs has to be a list and is not": {"fedmsg_relay_needs": "outbound"},
    "fedmsg_relay_gone has to be a list and is not": {"fedmsg_relay_gone": "dead01"},
    "fedmsg_relay_dependents has to be a list and is not": {"fedmsg_relay_dependents": "x.service"},
    "fedmsg_relay_certs has to be a list and is not": {"fedmsg_relay_certs": {"service": "scm"}},
    "can_send of scm in fedmsg_relay_certs has to be a list and is not": {
        "fedmsg_relay_certs": [{"service": "scm", "can_send": "git.receive"}]
    },
    "fedmsg_relay_policy_extra has to have a list for git.receive and has not": {
        "fedmsg_relay_policy_extra": {"git.receive": "scm-x"}
    },
    "fedmsg_relay_policy_extra has to be a dict and is not": {"fedmsg_relay_policy_extra": "git.receive=scm-x"},
    "fedmsg_relay_bridge has to be a dict and is not": {"fedmsg_relay_bridge": True},
    "fedmsg_relay_settings has to be a dict and is not": {"fedmsg_relay_settings": None},
    "fedmsg_relay_settings has to have a dict for trust and has not": {"fedmsg_relay_settings": {"trust": None}},
    "fedmsg_relay_settings has to have a dict for http and has not": {"fedmsg_relay_settings": {"http": "x"}},
    "fedmsg_relay_settings has to have a dict for limits and has not": {"fedmsg_relay_settings": {"limits": []}},
}
WRITE = "Write it as YAML, in host_vars or group_vars, or as JSON with -e. Nothing was changed."


def test_a_host_without_a_wrong_value_is_not_refused() -> None:
    assert fault_of(WELL, "app01", {"app01": {}, "bus01": WELL}, {"pkgs01": {"fedmsg_relay_needs": ["outbound"]}}) == ""


@pytest.mark.parametrize(("fault", "wrong"), FAULTS.items())
def test_a_wrong_value_is_refused_with_its_host(fault: str, wrong: dict[str, Any]) -> None:
    assert fault_of({**WELL, **wrong}, "app01", {}, {}) == f"{fault} on app01. {WRITE}"


def test_a_wrong_value_of_another_host_is_refused_too() -> None:
    """The policy and the web processes are about all hosts, also those outside the run."""
    certs = {"pkgs01": {"fedmsg_relay_certs": [{"service": "scm", "can_send": "git.receive"}]}}
    assert fault_of(WELL, "app01", {}, certs).startswith("can_send of scm in fedmsg_relay_certs has to be a list")
    assert fault_of(WELL, "app01", {}, {"x": {"fedmsg_relay_needs": "outbound"}}).startswith("fedmsg_relay_needs has")
    settings = {"bus01": {"fedmsg_relay_settings": {"http": "x"}}}
    assert "for http and has not on bus01." in fault_of(WELL, "app01", settings, {})
