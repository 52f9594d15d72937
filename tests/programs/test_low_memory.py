"""A relay with little memory takes bodies whose check could need much of it."""

from __future__ import annotations

import shutil

from bus import StartBus
from costly import DEAR, MIB
from fedmsg_relay import spool
from harness import Host
from spooled import deliver, expect_texts, message, put


def test_a_relay_with_little_memory_takes_what_is_dear_and_goes_on(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    bus = start_bus()
    prlimit = shutil.which("prlimit")
    assert prlimit
    assert host.run(prlimit, f"--pid={bus.relay.pid}", f"--as={1800 * MIB}").code == 0
    for number, kind in enumerate(("brackets in one string", "empty lists", "NaN")):
        body = b'{"msg":{"log":"%d"},"a":%s}' % (number, DEAR[kind](16 * MIB - 1000))
        put(host, spool.HEADER + b"message\ntopic\n" + body, f"{number:020d}-1-1.msg")
    put(host, message("behind them"), f"{9:020d}-1-1.msg")
    assert deliver(host, patience=30).stdout == "delivered 4, refused 0\n"
    assert bus.relay.running.alive()
    expect_texts(bus, ["0", "1", "2", "behind them"])
