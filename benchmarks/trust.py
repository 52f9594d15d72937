"""Signatures: what signing costs a cold script, and what checking, or not checking, costs the relay."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from run_ca import Ca

import stock
from benchmarks.cold import TEXT, Script, listening, logged
from benchmarks.contenders import OURS, Contender
from benchmarks.load import HELLO
from benchmarks.plan import Plan, Row
from benchmarks.throughput import measure
from benchmarks.work import Work
from fedmsg_relay.envelope import encode
from fedmsg_relay.signing import Pair, Signer
from harness import Host, locate

STARTS = 10
"""Of each script in a round."""
SIGNED_LOGGER, LOGGER = "fedmsg-logger, ours, signed", "fedmsg-logger, ours"
STOCK_SIGNED_LOGGER, STOCK_LOGGER = "fedmsg-logger, stock, signed", "fedmsg-logger, stock"
ENFORCE, OFF, BEFORE = "ours, enforce", "ours, off", "ours, before"
VALIDATE = "stock's validate alone"
SIGNED, UNSIGNED = "signed", "unsigned"
SIGNED_COUNT, UNSIGNED_COUNT, VALIDATE_COUNT = 6000, 150_000, 400
SIZE = 600
NAME = "shell-bench.example.org"
EXEMPT = f'exempt = ["{HELLO.decode()}"]\n'

_VALIDATE = """
import json, sys, time
import fedmsg.crypto
config = json.loads(sys.argv[1])
messages = [json.loads(line) for line in open(sys.argv[2])]
for message in messages[:20]:
    assert fedmsg.crypto.validate(dict(message), **config)
began = time.process_time()
for message in messages:
    fedmsg.crypto.validate(message, **config)
print((time.process_time() - began) / len(messages) * 1e6)
"""


@dataclass(frozen=True)
class SignedWork(Work):
    """Work whose messages are signed, which was done before the clock starts.

    Attributes:
        made: the bodies of each publisher.
    """

    made: list[list[bytes]] = field(default_factory=list, compare=False)

    def bodies(self, who: int) -> list[bytes]:
        return self.made[who]


def sign(work: Work, signer: Signer) -> SignedWork:
    """Sign the messages of a work of one publisher; they stay of equal length."""
    made = [encode(signer.sign(json.loads(body)))[1] for body in work.bodies(0)]
    return SignedWork(work.count, len(made[0]), 1, work.run, [made])


def run(plan: Plan) -> list[Row]:
    with site(plan) as (pki, contenders):
        plan.say(f"trust: idle, {ENFORCE}: {contenders[ENFORCE].memory() / 1e6:.0f} MB")
        idle = {name: contender.memory() for name, contender in contenders.items()}
        scripts = cold(plan, contenders[OFF], pki)
        checked = check(plan, contenders, pki)
        memory = [{"memory_of": name, "idle": idle[name], "after": one.memory()} for name, one in contenders.items()]
    return [*scripts, *checked, *memory]


@contextmanager
def site(plan: Plan) -> Iterator[tuple[Path, dict[str, Contender]]]:
    """A CA with a signer, and relays that check and that do not."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        pki = Path(directory)
        authority = Ca(pki)
        authority.init()
        authority.issue(NAME)
        files = f'ca = "{pki}/ca.crt"\ncrl = "{pki}/crl.pem"\n'
        enforce = f'[trust]\nsignatures = "enforce"\n{files}{EXEMPT}'
        contenders = {ENFORCE: Contender(OURS, enforce), OFF: Contender(OURS)}
        if plan.before:
            contenders[BEFORE] = Contender(OURS)
            if relay := contenders[BEFORE].relay:
                relay.program = [plan.before / ".venv/bin/fedmsg-relay"]
        else:
            plan.note("signatures: what the relay costs without the code for them is not measured (--before DIR)")
        for contender in contenders.values():
            stack.callback(contender.close)
            contender.start()
        yield pki, contenders
        for name, contender in contenders.items():
            if name != BEFORE:  # its status may have another form
                contender.check_journaled()


def cold(plan: Plan, contender: Contender, pki: Path) -> list[Row]:
    """Scripts that sign and that do not, in turn; all of them publish to the same relay."""
    with closing(Host()) as signing, closing(Host()) as plain:
        for host, more in ((signing, signing_config(pki)), (plain, {"sign_messages": False})):
            here = contender.host
            host.configure(inbound=[here.inbound], outbound=[here.outbound], relay_submit=[here.submit], **more)
        ours, stocks = locate("fedmsg-logger"), str(stock.command("fedmsg-logger"))
        scripts = {
            name: (host, Script("", [program, "--message", TEXT], host.environment()))
            for name, host, program in (
                (SIGNED_LOGGER, signing, ours),
                (LOGGER, plain, ours),
                (STOCK_SIGNED_LOGGER, signing, stocks),
                (STOCK_LOGGER, plain, stocks),
            )
        }
        listener = listening(contender)
        for number in range(plan.rounds * plan.pick(STARTS, 1) + 1):
            for name, (host, script) in scripts.items():
                script.start(host, f"{name} {number}")
            plan.say(f"trust: cold scripts, start {number} of each")
        arrived = set(logged(listener, sum(len(script.texts) for _, script in scripts.values())))
    return [
        {
            "script": name,
            "seconds": script.seconds[1:],  # the first start found everything cold on disk: that happens once
            "cpu": script.cpu[1:],
            "lost": len(set(script.texts) - arrived),
        }
        for name, (_, script) in scripts.items()
    ]


def signing_config(pki: Path) -> dict[str, object]:
    """The part of the global config by which scripts of this machine sign."""
    short = socket.gethostname().partition(".")[0]
    return {"sign_messages": True, "ssldir": str(pki), "certnames": {f"shell.{short}": NAME}}


def check(plan: Plan, contenders: dict[str, Contender], pki: Path) -> list[Row]:
    """CPU of the relays for the same signed messages, and for unsigned ones; and of stock's validate alone."""
    signer = Signer(Pair(NAME, str(pki / f"{NAME}.key"), str(pki / f"{NAME}.crt")))
    makers: dict[str, Callable[[], Work]] = {
        SIGNED: lambda: sign(Work(plan.pick(SIGNED_COUNT, 300), SIZE), signer),
        UNSIGNED: partial(Work, plan.pick(UNSIGNED_COUNT, 300), SIZE),
    }
    who = {SIGNED: [ENFORCE, OFF], UNSIGNED: [name for name in contenders if name != ENFORCE]}
    rows: list[Row] = []
    validated: Row = {"relay": VALIDATE, "of": SIGNED, "cpu_us": []}
    for kind, make in makers.items():
        now: dict[str, Row] = {
            name: {"relay": name, "of": kind, "rate": [], "cpu_us": [], "verdicts": []} for name in who[kind]
        }
        first, *works = [make() for _ in range(plan.rounds + 1)]
        for name in now:  # nobody is measured cold
            measure(contenders[name], first)
        if kind == SIGNED:
            some = plan.pick(VALIDATE_COUNT, 40)
            validated["cpu_us"] = [validate(pki, work.bodies(0)[:some]) for work in works]
        for number, name in plan.in_turn(who[kind]):
            rate, cpu_us, verdict = measure(contenders[name], works[number])
            now[name]["rate"].append(rate)
            now[name]["cpu_us"].append(cpu_us)
            now[name]["verdicts"].append(verdict)
            did = f"{rate:,.0f}/s, {cpu_us:.1f} us CPU a message, {verdict}"
            plan.say(f"trust: {kind}, round {number + 1}, {name}: {did}")
        rows += now.values()
    return [*rows, validated]


def validate(pki: Path, bodies: Sequence[bytes]) -> float:
    """Microseconds of CPU in which stock fedmsg validates a message, its files read and its caches filled."""
    config: dict[str, object] = {
        "ca_cert_location": f"{pki}/ca.crt",
        "crl_location": f"{pki}/crl.pem",
        "routing_policy": {},
    }
    config |= {"routing_nitpicky": False, "crypto_validate_backends": ["x509"]}
    with closing(Host()) as host:
        lines = host.write("messages", b"\n".join(bodies).decode())
        ran = host.run(
            stock.command("python"), "-W", "ignore", "-c", _VALIDATE, json.dumps(config), lines, timeout=120.0
        )
    if ran.code:
        raise AssertionError(f"stock does not validate what we signed: {ran.stderr[-300:]}")
    return float(ran.stdout.splitlines()[-1])
