"""Read what stock fedmsg-tail printed: heard.py FILE. Prints JSON: the messages in order, and how many fences."""

import ast
import json
import re
import sys

with open(sys.argv[1]) as printed:
    entries = re.split(r"^\[[^]]*\]\[fedmsg\.commands    INFO\] ", printed.read(), flags=re.MULTILINE)
heard = [ast.literal_eval(entry) for entry in entries[1:]]
messages = [message for message in heard if not message["topic"].endswith(".fence")]
print(
    json.dumps(
        {
            "messages": [[m["topic"], m["i"], m["username"], m["msg"]] for m in messages],
            "fences": len(heard) - len(messages),
        }
    )
)
