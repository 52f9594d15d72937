"""script/bench: measure our relay beside the stock relay and libzmq's bare proxy."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

import environment

import stock
from benchmarks import bridge, cold, latency, loss, machine, memory, plots, receipts, report, throughput, trust, web
from benchmarks.contenders import STATE
from benchmarks.plan import BenchError, Plan
from benchmarks.rivals import case as rivals

CASES = {
    "throughput": throughput.run,
    "latency": latency.run,
    "cold": cold.run,
    "receipts": receipts.run,
    "memory": memory.run,
    "loss": loss.run,
    "trust": trust.run,
    "web": web.run,
    "bridge": bridge.run,
    "rivals": rivals.run,
}
EPILOG = """\
cases:
  throughput  messages a second and CPU a message: 300 B and 1.8 kB, 1, 4 and 50 publishers
  latency     in to out at 10, 1,000 and 10,000 messages a second
  cold        a script from its start to its exit, and what more lines on stdin cost
  receipts    submit: 1 to 200 clients, batches of 1 and 100
  memory      idle, over a million messages, with a frozen listener; the journal's growth
  loss        what a restart and a kill cost
  trust       signing in a cold script; checking signatures in the relay
  web         the relay while 200 clients read history; answers from a journal of a million messages
  bridge      onto RabbitMQ and back, the lag, and the relay with a bridge beside it
  rivals      receipts of JetStream, RabbitMQ and Redis, which also keep what they take, beside ours

All of it takes about 26 minutes on two cores; other work on the machine spoils it.
The peers are set up in .venv/, .venv-stock/ and .cache/.
"""


def options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/bench", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CASES, metavar="CASE", default=list(CASES), help="these cases")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each is measured (default: 3)")
    parser.add_argument("--quick", action="store_true", help="tiny numbers: only to see that it works")
    parser.add_argument(
        "--long", action="store_true", help="the journal over ten million messages, not one; history of five million"
    )
    parser.add_argument(
        "--before", type=Path, metavar="DIR", help="an older checkout with its .venv, measured beside this one by trust"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where the results go (default: .cache/bench/results.json)"
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the plots there, as SVG")
    parser.add_argument("--docs", action="store_true", help="put tables and plots into docs/benchmarks.md")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1:
        parser.error("--rounds is at least 1")
    if chosen.docs and chosen.quick:
        parser.error("--docs shows what was measured: it does not go with --quick")
    return chosen


def main(arguments: list[str]) -> int:
    chosen = options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and end on the way what we started
    try:
        if stock.VENV == environment.STOCK_VENV:
            environment.make_stock_venv()
        plan = Plan(1 if chosen.quick else chosen.rounds, chosen.quick, chosen.long, chosen.before)
        results: report.Results = {
            "run": {**machine.describe(), "rounds": str(plan.rounds)},
            "notes": plan.notes,
            "cases": {},
        }
        target = chosen.json or STATE / "results.json"
        for case in chosen.only:
            results["cases"][case] = CASES[case](plan)
            target.write_text(json.dumps(results, indent=1) + "\n")  # what was measured is kept whatever comes next
    except (environment.SetupError, BenchError, AssertionError, OSError) as error:  # the harness asserts
        print(f"script/bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    for name, text in report.texts(results).items():
        print(f"\n== {name}\n{text}")
    print(f"\nresults: {target}")
    if chosen.plots:
        plots.draw(results["cases"], chosen.plots)
    if chosen.docs:
        report.update_docs(results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
