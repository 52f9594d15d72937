"""Keys and signatures in the plan of a run: what comes and goes, who reads the policy first, and what is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from fedmsg_relay_plan.steps import Step

from fleet import CONFIG, PKI, Fleet, Machine, fleet, relay, scripts

CRT, KEY = f"{PKI}/shell-pkgs01.crt", f"{PKI}/shell-pkgs01.key"
OLD = f"{PKI}/scm-pkgs01.key"
SIGNING = "config = {'relay_inbound': ['tcp://app01:9941'], 'sign_messages': True}"


def site(signatures: str = "off", *, app01: Machine | None = None, brought: bool = True, **pkgs01: Any) -> Fleet:
    """A relay that treats signatures as said, and a script host that is to have one pair. Another tool may bring it."""
    return fleet(
        app01 or relay("app01"),
        scripts("pkgs01", "app01", **pkgs01),
        group="app01",
        variables={"app01": {"signatures": signatures}},
        keys={"pkgs01": [CRT, KEY]} if brought else {},
        kept={} if brought else {"pkgs01": [CRT, KEY]},
    )


PLANS = {
    "as it should be": (site("warn", keys=(CRT, KEY)), "", "", ["Nothing to change: app01, pkgs01"]),
    "a new pair": (
        site(compared={"differ": [CRT, KEY]}),
        "",
        "bring_keys",
        [
            "pkgs01: gets keys and certificates (shell-pkgs01.crt, shell-pkgs01.key)",
            "Nothing to change: app01",
        ],
    ),
    "a pair is dropped": (
        site(keys=(CRT, KEY, OLD)),
        "",
        "drop_keys",
        [
            "pkgs01: loses keys and certificates that the inventory no longer names (scm-pkgs01.key)",
            "Nothing to change: app01",
        ],
    ),
    "another tool brings the pair from now on": (
        site("warn", keys=(CRT, KEY), brought=False),
        "",
        "drop_keys",
        [
            "pkgs01: leaves keys and certificates to another tool (shell-pkgs01.crt, shell-pkgs01.key)",
            "Nothing to change: app01",
        ],
    ),
    "another tool brings the pair from now on, and one is dropped": (
        site(keys=(CRT, KEY, OLD), brought=False),
        "",
        "drop_keys",
        [
            "pkgs01: loses keys and certificates that the inventory no longer names (scm-pkgs01.key), "
            "leaves keys and certificates to another tool (shell-pkgs01.crt, shell-pkgs01.key)",
            "Nothing to change: app01",
        ],
    ),
    "another tool brings the pair": (
        site(brought=False),
        "",
        "",
        ["Nothing to change: app01, pkgs01"],
    ),
    "another config": (
        site("warn", app01=relay("app01", "app01", "app01"), keys=(CRT, KEY)),
        "read_policy",
        "",
        [
            "app01: gets another config, with the same relay, lets its relay read the routing policy",
            "Nothing to change: pkgs01",
        ],
    ),
    "a run ended before the reload": (
        site("warn", app01=relay("app01", policy_read=99)),
        "read_policy",
        "",
        ["app01: lets its relay read the routing policy", "Nothing to change: pkgs01"],
    ),
    "signatures off": (
        site("off", app01=relay("app01", policy_read=99)),
        "",
        "",
        ["Nothing to change: app01, pkgs01"],
    ),
}
"""A fleet, the steps of keys on its relay's host and on its script host, and the sentences of the plan."""


@pytest.mark.parametrize(("world", "app01", "pkgs01", "sentences"), PLANS.values(), ids=PLANS)
def test_keys_and_the_policy_are_steps_and_sentences_of_the_plan(
    world: Fleet, app01: str, pkgs01: str, sentences: list[str]
) -> None:
    plan = world.plan()
    ours = {Step.BRING_KEYS, Step.READ_POLICY, Step.DROP_KEYS}
    taken = {name: " ".join(step for step in host.steps if step in ours) for name, host in plan.hosts.items()}
    assert taken == {"app01": app01, "pkgs01": pkgs01}
    assert plan.sentences == sentences


def test_a_relay_knows_the_policy_before_a_host_has_a_new_certificate() -> None:
    order = list(Step)
    in_order = [Step.BRING_KEYS, Step.REPLACE, Step.POINT_RELAY, Step.READ_POLICY, Step.POINT, Step.DROP_KEYS]
    assert sorted(in_order, key=order.index) == in_order
    hosts = site("warn").plan().hosts
    assert (Step.POINT_RELAY in hosts["app01"].steps, Step.POINT in hosts["app01"].steps) == (True, False)
    assert (Step.POINT_RELAY in hosts["pkgs01"].steps, Step.POINT in hosts["pkgs01"].steps) == (False, True)


FOREIGN = {"differ": [KEY], "foreign": [KEY]}

REFUSALS = {
    "nobody of that name": (
        site(compared={"unknown": ["group git", "user git"]}),
        "pkgs01 has no group git and no user git, to which fedmsg_relay_certs gives a key: make it first, or correct "
        "the owner or group. Nothing was changed.",
    ),
    "a key of others": (
        site(compared=FOREIGN),
        f"Not written by this role: {KEY} on pkgs01, and not the same as in fedmsg_relay_certs_from. If this role "
        "shall replace them, set fedmsg_relay_adopt: true: it keeps copies in /var/backups/fedmsg-relay/adopted. "
        "Otherwise remove them first. Nothing was changed.",
    ),
    "to enforce before a config says that scripts sign": (
        site("enforce"),
        "fedmsg_relay_trust is enforce on app01, and the config of app01, pkgs01 does not say sign_messages yet, so "
        "messages would be refused during this run: run with fedmsg_relay_trust warn first. Nothing was changed.",
    ),
}
"""A fleet, and why no host goes on."""


@pytest.mark.parametrize(("world", "refusal"), REFUSALS.values(), ids=REFUSALS)
def test_keys_that_do_not_fit_a_host_stop_the_run(world: Fleet, refusal: str) -> None:
    plan = world.plan()
    assert plan.refusal == refusal
    assert f"Refused: {refusal}" in plan.sentences


def test_keys_of_others_are_adopted_where_the_inventory_says_so() -> None:
    world = site(compared=FOREIGN)
    world.variables["pkgs01"] = {"adopt": True}
    assert world.plan().refusal == ""


@pytest.mark.parametrize("why", ["listens only", "has no config", "signs"])
def test_only_hosts_whose_messages_are_refused_keep_a_relay_from_enforcing(why: str) -> None:
    world = site("enforce")
    world.variables["app01"]["publishes"] = False
    if why == "listens only":
        world.variables["pkgs01"] = {"publishes": False}
    elif why == "has no config":
        world.machines["pkgs01"].config = None
    else:
        world.machines["pkgs01"].more = {"contents": contents(world, SIGNING)}
    assert world.plan().refusal == ""


def contents(world: Fleet, config: str) -> dict[str, str]:
    """What is read on pkgs01, with another config."""
    read: dict[str, str] = world.tells("pkgs01")["looked"]["contents"]
    return {**read, CONFIG: base64.b64encode(config.encode()).decode()}
