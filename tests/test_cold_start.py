"""The one comparison of times that is promised: a ratio, measured on one machine in one run."""

from __future__ import annotations

from statistics import median

import stock
from harness import wait_until
from wire import Bus

ROUNDS = 9


def test_a_cold_logger_takes_at_most_a_tenth_of_stocks_time(bus: Bus) -> None:
    ours, stocks = [], []
    for n in range(ROUNDS):
        ran = bus.host.run("fedmsg-logger", "--message", f"ours {n}")
        assert ran.code == 0, ran.stderr
        ours.append(ran.seconds)
        stocks.append(stock.run(bus.host, "fedmsg-logger", "--message", f"stock {n}").seconds)
    wait_until(
        lambda: all(any(b"ours %d" % n in body for _, body in bus.listener.hear()) for n in range(ROUNDS)),
        "every message of ours is delivered",
    )
    assert median(ours) <= median(stocks) / 10, (ours, stocks)
