"""Sees what must never be while a run of the role goes on, after each change that a host notices."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

from fedmsg_relay_plan.plan import Plan

from fleet import Fleet, Machine


@dataclass
class Watch:
    """Holds the hosts of a run against what they were before it.

    Attributes:
        fleet: the hosts and the inventory.
        plan: the plan of the run.
        before: the hosts before the run.
        violations: what happened that must not.
    """

    fleet: Fleet
    plan: Plan
    before: dict[str, Machine]
    violations: list[str] = field(default_factory=list)

    @classmethod
    def over(cls, fleet: Fleet, plan: Plan) -> Watch:
        return cls(fleet, plan, deepcopy(fleet.machines))

    def note_change(self, what: str) -> None:
        """Look at all hosts after a change."""
        for name, was in self.before.items():
            machine = self.fleet.machines[name]
            if was.running and was.used and not machine.running:
                self.violations.append(f"{what}: {name} is used and does not run any more")
            if was.unit not in ("", "ours") and machine.unit != was.unit:
                self.violations.append(f"{what}: the unit of {name} is not ours to remove")
        in_use = _in_use(self.fleet.machines)
        alone = {name for name in in_use if self.fleet.machines[name].alone}
        released = {name for name in alone if name not in _in_use(self.before) or self.before[name].upstream}
        # A host that Ansible does not reach stays as it is, if the operator tolerates that.
        tolerated = set(self.plan.tolerated) - set(self.plan.hosts)
        leaving = alone - set(self.fleet.group) - tolerated
        if released and leaving:
            self.violations.append(f"{what}: {', '.join(sorted(alone))} are in use and publish apart from each other")

    def note_config(self, machine: Machine) -> None:
        """Look at the relays that the new config of a host names."""
        for name in self.fleet.group:
            relay = self.fleet.machines[name]
            # A host without the program sees that a relay outside the run answers, and no more.
            seen = relay.running and not machine.commands and name not in self.plan.relays
            if not comes_through(relay) and not seen:
                self.violations.append(f"the config of {machine.name} names {name}, which has not proved itself")

    def note_removal(self, machine: Machine) -> None:
        """Look at a relay that is about to be removed."""
        if machine.unit != "ours" or machine.waiting or (machine.used and machine.running):
            self.violations.append(f"{machine.name} is removed: {machine}")


def comes_through(machine: Machine) -> bool:
    """Whether a message comes through the relay of a host."""
    return machine.alone and not machine.broken


def _in_use(machines: dict[str, Machine]) -> set[str]:
    named = {name for machine in machines.values() for name in machine.config or ()}
    return {name for name, machine in machines.items() if machine.used or name in named}
