"""For taking a stock relay's place: judge what was heard of traffic.py --fedmsg.

Called as judge_numbers.py SENT TAIL BEFORE READY.

A stock relay forgets what it holds when it is stopped, so a take-over cannot save that. But from the first number that
the listener was there for, everything up to BEFORE, heard before anything was changed, and everything sent after READY
(CLOCK_MONOTONIC, microseconds), when our relay was up, must be there, in order, and nothing twice.
"""

import json
import sys
from pathlib import Path

import stock_tail

sent = json.loads(Path(sys.argv[1]).read_text())
messages = stock_tail.messages(Path(sys.argv[2]))
numbers = [message["msg"]["said"][2] for message in messages if message["topic"].endswith("verify.traffic.fence")]
heard = [number for number in numbers if number is not None]
before, ready = int(sys.argv[3]), int(sys.argv[4])
needed = {n for n, when in enumerate(sent) if heard[0] <= n <= before or when > ready}
after = sum(when > ready for when in sent)
lost = sorted(needed - set(heard))
gap = sorted(set(range(heard[0], len(sent))) - set(heard) - needed)
print(json.dumps({"sent": len(sent), "after": after, "lost": lost, "lost with the stock relay": gap}))
if lost or heard != sorted(set(heard)) or heard[0] > before or not after:
    sys.exit(f"heard in this order: {heard}")
