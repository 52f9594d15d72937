"""Read what stock fedmsg-tail printed: heard.py FILE. Prints JSON: the messages in order, without fences."""

import ast
import json
import re
import sys
from pathlib import Path

ENTRY = re.compile(r"^\[[^]]*\]\[fedmsg\.commands    INFO\] ", flags=re.MULTILINE)

# What stock says of a message without a signature, or whose topic has no policy.
WARNING = re.compile(r"^\[[^]]*\]\[fedmsg\.crypto\S* WARNING\] .*\n?", flags=re.MULTILINE)

heard = [ast.literal_eval(entry) for entry in ENTRY.split(WARNING.sub("", Path(sys.argv[1]).read_text()))[1:]]
# The rotation's traffic has no topic in its body: examples/listener.py reads that.
messages = [message for message in heard if not message.get("topic", ".fence").endswith(".fence")]
print(json.dumps([[message[key] for key in ("topic", "i", "username", "msg")] for message in messages]))
