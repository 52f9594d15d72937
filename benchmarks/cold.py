"""A cold script: from the start of a process to its exit, one message; and what more lines on stdin cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import stock
from benchmarks import peers
from benchmarks.contenders import OURS, STOCK, Contender, running
from benchmarks.load import Listener, join
from benchmarks.plan import BenchError, Plan, Row
from harness import Host, locate, wait_until

STARTS = 6
"""Of each script in a round."""
LINES = (1, 10, 100, 1000)
TEXT = "@TEXT@"
OURS_LOGGER, STOCK_LOGGER, SPOOL = "fedmsg-logger, ours", "fedmsg-logger, stock", "fedmsg-spool (sh)"
SPOOL_PROGRAMS = "sh, the same programs"
ZMQ, PYTHON = "python -c 'import zmq'", "python -c pass"
MOSQUITTO, NATS = "mosquitto_pub -q 1", "bash, NATS protocol"

# Debian has no client of NATS; its protocol is text, and PONG says that the server has what came before.
NATS_SCRIPT = r"""
exec 3<>/dev/tcp/127.0.0.1/$1
printf 'CONNECT {"verbose":false}\r\nPUB bench %d\r\n%s\r\nPING\r\n' "${#2}" "$2" >&3
while read -r answer <&3; do case $answer in PONG*) exit 0 ;; -ERR*) exit 1 ;; esac; done
exit 1
"""

PROGRAMS_SCRIPT = """
now=$(date '+%s%N %Y') && printf '%s' "$now" >.new && sync .new && mv .new new && sync .
"""
"""What fedmsg-spool starts: a program for the time, and three that put a file on disk."""


@dataclass
class Script:
    """A command that sends one message and ends, started again and again.

    Attributes:
        keeps: what is certain when it has ended with 0.
        command: with TEXT where the message goes.
        env: its environment.
    """

    keeps: str
    command: list[str]
    env: Mapping[str, str]
    texts: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def start(self, host: Host, text: str) -> None:
        self.texts.append(text)
        seconds, cpu = spend(host, [part.replace(TEXT, text) for part in self.command], self.env)
        self.seconds.append(seconds)
        self.cpu.append(cpu)


def run(plan: Plan) -> list[Row]:
    with running((OURS, STOCK)) as contenders, peers.brokers(plan) as brokers:
        return one_message(plan, contenders, brokers) + many_lines(plan, contenders)


def one_message(plan: Plan, contenders: dict[str, Contender], brokers: dict[str, int]) -> list[Row]:
    """Every script in turn, so that what disturbs one disturbs the others as well."""
    ours, stocks = contenders[OURS].host, contenders[STOCK].host
    listeners = {name: listening(contender) for name, contender in contenders.items()}
    spool = ours.directory / "spool of the shell"  # or fedmsg-logger would queue up behind what waits there
    spool.mkdir()
    scripts = every_script(ours, stocks, spool, brokers)
    for number in range(plan.rounds * plan.pick(STARTS, 1) + 1):
        for name, script in scripts.items():
            script.start(stocks if name == STOCK_LOGGER else ours, f"{name} {number}".replace("'", ""))
        plan.say(f"cold script: start {number} of every script")
    arrived = {
        OURS_LOGGER: logged(listeners[OURS], len(scripts[OURS_LOGGER].texts)),
        STOCK_LOGGER: logged(listeners[STOCK], len(scripts[STOCK_LOGGER].texts)),
        SPOOL: [json.loads(path.read_bytes().split(b"\n", 6)[6])["log"] for path in spool.glob("*.msg")],
    }
    rows = []
    for name, script in scripts.items():
        lost = len(set(script.texts) - set(arrived.get(name, script.texts)))
        # The first start found everything cold on disk: that happens once.
        rows.append(
            {"script": name, "keeps": script.keeps, "seconds": script.seconds[1:], "cpu": script.cpu[1:], "lost": lost}
        )
    return rows


def every_script(ours: Host, stocks: Host, spool: Path, brokers: dict[str, int]) -> dict[str, Script]:
    here = ours.environment()
    logger = ["--message", TEXT]
    message = ["--modname=logger", "--topic=log", "--message", json.dumps({"log": TEXT})]
    spooling = here | {"FEDMSG_SPOOL": str(spool), "LOGNAME": "bench"}  # else one more program asks for it
    scripts = {
        OURS_LOGGER: Script("receipt: on the relay's disk", [locate("fedmsg-logger"), *logger], here),
        STOCK_LOGGER: Script("nothing", [str(stock.command("fedmsg-logger")), *logger], stocks.environment()),
        SPOOL: Script("on this host's disk", [locate("fedmsg-spool"), *message], spooling),
        SPOOL_PROGRAMS: Script("sends nothing", ["/bin/sh", "-c", PROGRAMS_SCRIPT], here),
        ZMQ: Script("sends nothing", [sys.executable, "-c", "import zmq"], here),
        PYTHON: Script("sends nothing", [sys.executable, "-c", "pass"], here),
    }
    if port := brokers.get("mosquitto"):
        options = ["-p", str(port), "-q", "1", "-t", "bench", "-m", TEXT]
        command = [peers.program("mosquitto_pub") or "", *options]
        scripts[MOSQUITTO] = Script("acknowledged, in the broker's memory", command, peers.environment())
    if port := brokers.get("nats-server"):
        command = ["/bin/bash", "-c", NATS_SCRIPT, "bash", str(port), TEXT]
        scripts[NATS] = Script("acknowledged, kept by nobody", command, peers.environment())
    return scripts


def many_lines(plan: Plan, contenders: dict[str, Contender]) -> list[Row]:
    """The same script given more and more lines, each of which is a message."""
    programs = {OURS: locate("fedmsg-logger"), STOCK: str(stock.command("fedmsg-logger"))}
    rows: list[Row] = []
    for lines in plan.pick(LINES, LINES[:1]):
        now: dict[str, Row] = {name: {"lines_of": name, "lines": lines, "seconds": [], "lost": 0} for name in programs}
        for number, name in plan.in_turn(list(programs)):
            host = contenders[name].host
            listener = listening(contenders[name])
            texts = [f"line {n} of {lines}, round {number}" for n in range(lines)]
            seconds, _ = spend(host, [programs[name]], host.environment(), "\n".join(texts) + "\n")
            now[name]["seconds"].append(seconds)
            now[name]["lost"] += len(set(texts) - set(logged(listener, lines)))
            plan.say(f"cold script: {lines} lines on stdin, round {number + 1}, {name}: {seconds * 1000:.0f} ms")
        rows += now.values()
    return rows


def listening(contender: Contender) -> Listener:
    listener = Listener(contender.host.outbound)
    join(contender.host.inbound, listener)
    return listener


def logged(listener: Listener, count: int) -> list[str]:
    """The texts of so many log messages, or of those that came; then close the listener."""
    heard: list[str] = []

    def all_heard() -> bool:
        listener.take(1, silence=2.0)
        heard[:] = [json.loads(body)["msg"]["log"] for body in listener.bodies()]
        return len(heard) >= count or listener.silent

    wait_until(all_heard, f"{count} log messages")
    listener.close()
    return heard


def spend(host: Host, command: list[str], env: Mapping[str, str], stdin: str = "") -> tuple[float, float]:
    """Seconds from a process's start to its exit, which must be 0, and seconds of CPU it took."""
    lines = host.write("stdin", stdin)
    with lines.open("rb") as given, (host.directory / "stderr").open("w+b") as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=host.directory, env=dict(env), stdin=given, stdout=subprocess.DEVNULL, stderr=said
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise BenchError(f"{command[0]} exited {process.returncode}: {said.read().decode()}")
    return seconds, used.ru_utime + used.ru_stime
