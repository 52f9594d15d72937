"""A run of the role without hosts: takes the steps of a plan as the tasks take them, one small change after the other.

A run can end after each change, as it does when the controller dies. `Rehearsal.violations` says what must never be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fedmsg_relay_plan.plan import Plan
from fedmsg_relay_plan.steps import Step

from fleet import RELEASE, Fleet, Machine
from watch import Watch, comes_through


@dataclass
class Rehearsal:
    """One run.

    Attributes:
        fleet: the hosts and the inventory.
        plan: the plan of the run.
        watch: sees what must never be.
        failed: hosts that take no more steps.
        carries: relays that have passed a message, or wait to take over.
        proved: relays that publish by themselves and have passed a message.
        chained: leaving relays that are chained.
        handed_over: leaving relays through which a message came out at the relays of the group.
        tried: relays of a move that were changed.
    """

    fleet: Fleet
    plan: Plan
    watch: Watch
    failed: set[str] = field(default_factory=set)
    carries: set[str] = field(default_factory=set)
    proved: set[str] = field(default_factory=set)
    chained: set[str] = field(default_factory=set)
    handed_over: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, fleet: Fleet) -> Rehearsal:
        fleet.answers = {}
        plan = fleet.plan()
        return cls(fleet, plan, Watch.over(fleet, plan))

    @property
    def violations(self) -> list[str]:
        """What happened that must not."""
        return self.watch.violations

    def run(self) -> Iterator[str]:
        """Take the steps. Yields after each change that a host notices.

        Yields:
            What was done.
        """
        if self.plan.refusal:
            return
        self.failed |= {name for name, host in self.plan.hosts.items() if host.refusal}
        for step in Step:
            for name in self._takers(step):
                if name not in self.failed:
                    for change in self._take(step, self.fleet.machines[name]):
                        self.watch.note_change(f"{step} {name}: {change}")
                        yield change
            if step is Step.HAND_OVER and self.plan.leaving:
                yield from self._put_back()

    def _takers(self, step: Step) -> list[str]:
        """Relays take turns in the group's order."""
        takers = [name for name, host in self.plan.hosts.items() if step in host.steps]
        return sorted(takers, key=lambda name: self.fleet.group.index(name) if name in self.fleet.group else 99)

    def _take(self, step: Step, machine: Machine) -> Iterator[str]:
        handlers = {
            Step.INSTALL: self._install,
            Step.REPLACE: self._replace,
            Step.RELY: self._rely,
            Step.REACH: self._reach,
            Step.INSTALL_LATER: self._install,
            Step.USE: self._use,
            Step.CHAIN: self._chain,
            Step.CHAIN_LAST: self._chain,
            Step.TAKE_OVER: self._take_over,
            Step.HAND_OVER: self._hand_over,
            Step.POINT_RELAY: self._point,
            Step.POINT: self._point,
            Step.DELIVER: self._deliver,
            Step.RETIRE: self._retire,
            Step.REMOVE_PROGRAM: self._remove_program,
        }
        return handlers[step](machine) if step in handlers else iter(())

    def _install(self, machine: Machine) -> Iterator[str]:
        if RELEASE not in machine.complete:
            machine.complete = (*machine.complete, RELEASE)
            yield "installed"

    def _use(self, machine: Machine) -> Iterator[str]:
        if machine.release != RELEASE:
            machine.release = RELEASE
            yield "in use"

    def _replace(self, machine: Machine) -> Iterator[str]:
        others = set(self.fleet.group) & set(self.plan.hosts)
        if others & self.failed:
            self.failed.add(machine.name)
            return
        machine.unit = "ours"
        if Step.TAKE_OVER in self._steps(machine):
            self.carries.add(machine.name)
            return
        yield from self._run_alone(machine)
        if comes_through(machine):
            self.carries.add(machine.name)
            self.proved.add(machine.name)
            return
        self._restore(machine)
        self.failed.add(machine.name)
        yield "put back"

    def _run_alone(self, machine: Machine) -> Iterator[str]:
        yield from self._use(machine)
        if machine.config is None:  # no relay starts without one
            machine.config = self.fleet.group
            yield "first config"
        if machine.written != ():
            machine.written = ()
            yield "settings"
        if machine.upstream or not machine.running:
            machine.running, machine.enabled, machine.upstream, machine.waiting = True, True, (), 0
            yield "restarted"

    def _rely(self, machine: Machine) -> Iterator[str]:
        left_out = [name for name in self.fleet.group if name not in self.plan.relays]
        for name in self.fleet.group:
            relay = self.fleet.machines[name]
            proves_it = machine.commands or name not in left_out
            proved = name in left_out and (not proves_it or comes_through(relay))
            if name not in self.carries and not proved:
                self.failed.add(machine.name)
                return
        if Step.USE in self._steps(machine) or Step.INSTALL in self._steps(machine):
            yield from self._use(machine)

    def _reach(self, machine: Machine) -> Iterator[str]:
        reached = all(self.fleet.machines[name].running for name in self.fleet.group)
        if not reached and machine.name not in self.fleet.group:
            self.failed.add(machine.name)
        yield from ()

    def _chain(self, machine: Machine) -> Iterator[str]:
        self.tried.add(machine.name)
        yield from self._use(machine)
        if machine.written != self.fleet.group:
            machine.written = self.fleet.group
            yield "settings"
        if machine.upstream != self.fleet.group or not machine.running:
            machine.running, machine.enabled, machine.upstream = True, True, self.fleet.group
            yield "chained"
        if not machine.broken:
            self.chained.add(machine.name)

    def _take_over(self, machine: Machine) -> Iterator[str]:
        if self._handing_over() - self.chained:
            return
        self.tried.add(machine.name)
        yield from self._run_alone(machine)
        if comes_through(machine):
            self.proved.add(machine.name)

    def _hand_over(self, machine: Machine) -> Iterator[str]:
        if machine.name in self.chained and not self._unproved():
            self.handed_over.add(machine.name)
            machine.waiting = 0
        yield from ()

    def _put_back(self) -> Iterator[str]:
        if not self._unproved() and not self._handing_over() - self.handed_over:
            return
        relays = [name for name in self.tried if name in self.fleet.group]
        for name in [*sorted(relays), *sorted(self.tried - set(relays))]:
            self._restore(self.fleet.machines[name])
            self.watch.note_change(f"put back {name}")
            yield "put back"
        self.failed |= set(self.plan.hosts)

    def _point(self, machine: Machine) -> Iterator[str]:
        if machine.config == self.fleet.group:
            return
        machine.config, machine.their_config = self.fleet.group, False
        self.watch.note_config(machine)
        yield "config"

    def _deliver(self, machine: Machine) -> Iterator[str]:
        if not machine.spool:
            machine.spool = True
            yield "spool"

    def _retire(self, machine: Machine) -> Iterator[str]:
        away = set(self.fleet.asked) - (set(self.plan.hosts) - self.failed) - set(self.plan.tolerated)
        stays = self.fleet.limit or away or machine.used or not machine.upstream
        if Step.HAND_OVER in self._steps(machine) and stays:
            return
        self.watch.note_removal(machine)
        machine.running, machine.unit, machine.written, machine.upstream = False, "", None, ()
        yield "retired"

    def _remove_program(self, machine: Machine) -> Iterator[str]:
        if machine.unit == "ours":
            return
        machine.release, machine.complete, machine.spool = "", (), False
        yield "removed"

    def _restore(self, machine: Machine) -> None:
        """Put a relay back to what it was before the run, as a failed step does."""
        was = self.watch.before[machine.name]
        machine.written, machine.running, machine.upstream = was.written, was.running, was.upstream
        machine.release, machine.waiting, machine.enabled = was.release, was.waiting, was.enabled
        machine.unit = was.unit

    def _steps(self, machine: Machine) -> list[Step]:
        return self.plan.hosts[machine.name].steps

    def _handing_over(self) -> set[str]:
        return {name for name, host in self.plan.hosts.items() if Step.HAND_OVER in host.steps}

    def _unproved(self) -> set[str]:
        return set(self.plan.relays) - self.proved
