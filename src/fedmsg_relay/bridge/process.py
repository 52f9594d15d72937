"""The process of the bridge: its parts, each in a thread, and what it tells of them."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from fedmsg_relay import errors
from fedmsg_relay.bridge.back import Back, Home
from fedmsg_relay.bridge.comparison import Comparison
from fedmsg_relay.bridge.forward import Forward
from fedmsg_relay.bridge.ledger import Ledger, LedgerError
from fedmsg_relay.bridge.progress import Progress
from fedmsg_relay.bridge.reading import Reader
from fedmsg_relay.bridge.tap import Tap
from fedmsg_relay.bridge.target import Target
from fedmsg_relay.daemon.settings import Bridge
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.journal import spared
from fedmsg_relay.runtime import log, paths, process, threads
from fedmsg_relay.runtime.systemd import Notifier
from fedmsg_relay.signing import Signer

TELL_SECONDS = 1.0
"""Interval at which the bridge writes how it is."""

STOP_SECONDS = 10.0
"""Maximum time that a stop waits for all parts."""


class Plan(NamedTuple):
    """The work of a bridge.

    Attributes:
        settings: ``[bridge]`` of relay.toml.
        target: the broker.
        state: directory of the journal.
        submit: address of the relay's submit; empty if nothing comes back.
        signer: signs what comes back; None for unsigned envelopes.
        start: where the first start begins.
    """

    settings: Bridge
    target: Target
    state: Path
    submit: str
    signer: Signer | None
    start: str


def run(plan: Plan) -> int:
    """Run the bridge until a signal ends it.

    Args:
        plan: what it does.

    Returns:
        The exit code.

    Raises:
        ConfigError: another bridge works in this state directory.
        LedgerError: ``bridge.db`` cannot be used.
    """
    process.rename("fedmsg-bridge")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    log.start()
    held = _lock(plan.state)
    try:
        return _run(plan, stopping)
    finally:
        held.close()


def _run(plan: Plan, stopping: threading.Event) -> int:
    relay = paths.identity(plan.state)
    journal = plan.state / "journal.db"
    ledger = Ledger(plan.state)
    progress = Progress(Reader(journal), Ledger(plan.state), relay, plan.start, plan.settings.tap_queue is not None)
    forward = Forward(plan.target, progress, plan.settings)
    back = tap = None
    if plan.settings.back_queue is not None:
        kept = Ledger(plan.state, durable=True)
        home = Home(relay, plan.submit, plan.signer)
        back = Back(plan.target, plan.settings.back_queue, home, Reader(journal), kept)
    if plan.settings.tap_queue is not None:
        tap = Tap(plan.target, plan.settings.tap_queue, Comparison(Reader(journal), Ledger(plan.state), relay), relay)
    parts: list[Forward | Back | Tap] = [forward, *(part for part in (back, tap) if part)]
    working = [threads.start(part.condition.part, part.run) for part in parts]
    notifier = Notifier()

    def tell() -> None:
        try:
            ledger.tell(_describe(plan, relay, forward, back, tap))
            spared.note(plan.state, progress.committed)
        except LedgerError as error:
            log.log.error("%s", error)

    tell()
    notifier.tell(READY="1")
    while not stopping.wait(TELL_SECONDS) and not threads.dead():
        tell()
        notifier.sign_of_life()
    for part in parts:
        part.stop()
    until = time.monotonic() + STOP_SECONDS
    for thread in working:
        thread.join(max(0.0, until - time.monotonic()))
    tell()
    return errors.EX_SOFTWARE if threads.dead() else errors.EX_OK


def _describe(plan: Plan, relay: str, forward: Forward, back: Back | None, tap: Tap | None) -> dict[str, Any]:
    """Say how all parts are."""
    described: dict[str, Any] = {
        "version": process.version(),
        "pid": os.getpid(),
        "relay": relay,
        "nodes": plan.target.nodes,
        "exchange": plan.target.exchange,
        "forward": {
            **forward.condition.describe(),
            "fault": forward.progress.fault,
            "lag": forward.progress.lag(),
            "careful": forward.sending.careful,
            "in_flight": forward.progress.window.in_flight,
        },
        "back": None,
        "tap": None,
    }
    if back:
        described["back"] = {**back.condition.describe(), "queue": plan.settings.back_queue, "in_hand": back.in_hand}
    if tap:
        described["tap"] = {**tap.condition.describe(), "queue": plan.settings.tap_queue, "foreign": tap.foreign}
    return described


def _lock(state: Path) -> TextIOWrapper:
    """Keep a second bridge out of a state directory: both would send everything.

    Raises:
        ConfigError: another one works there, or nothing can be written there.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        held = (state / "bridge.lock").open("a", encoding="ascii")
    except OSError as error:
        raise ConfigError(f"state directory {state}: {error.strerror}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise ConfigError(f"state directory {state}: another bridge works there") from None
    return held
