"""Read what stock fedmsg-tail printed: heard.py FILE. Prints JSON: the messages in order, without fences."""

import json
import sys
from pathlib import Path

import stock_tail

# The rotation's traffic has no topic in its body: examples/listener.py reads that.
heard = stock_tail.messages(Path(sys.argv[1]))
messages = [message for message in heard if not message.get("topic", ".fence").endswith(".fence")]
print(json.dumps([[message[key] for key in ("topic", "i", "username", "msg")] for message in messages]))
