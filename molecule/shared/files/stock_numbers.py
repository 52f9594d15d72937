"""For taking a stock relay's place: publish numbers as a long-running script with stock fedmsg does, in stock's Python,
before anything of ours is there: stock_numbers.py FILE. judge_numbers.py judges what became of them.

Ends when the file /run/verify-enough is there, and writes to FILE when each was sent (CLOCK_MONOTONIC, microseconds).
"""

import json
import sys
import time
from pathlib import Path

import fedmsg
import fedmsg.config

ENOUGH = Path("/run/verify-enough")
PER_SECOND = 20  # stock's queue of 1000 lasts 50 seconds

config = fedmsg.config.load_config([], None)
config["active"] = True
fedmsg.init(name="relay_inbound", cert_prefix="shell", **config)
sent = []
while not ENOUGH.exists():
    sent.append(time.monotonic_ns() // 1000)
    fedmsg.publish(topic="number", modname="verify", msg={"n": len(sent)})
    time.sleep(1 / PER_SECOND)
fedmsg.publish(topic="last", modname="verify", msg={})
Path(sys.argv[1]).write_text(json.dumps(sent))
fedmsg.destroy()
