"""Read the relay's log and what logrotate made of it: peers.py ADDRESS SINCE.

Prints JSON: the ports of ADDRESS from which publishers connected and disconnected since then, in the log's
order, and in how many files those lines stand.
"""

import gzip
import json
import re
import sys
from pathlib import Path

address, since = sys.argv[1:]
line = re.compile(r"(\S+) INFO fedmsg-relay\[\d+\] publisher (connected|disconnected) (\S+):(\d+)")
ports: dict[str, list[int]] = {"connected": [], "disconnected": []}
files = set()
logs = Path("/var/log/fedmsg").glob("fedmsg-relay.log*")
for path in sorted(logs, key=lambda log: log.stat().st_mtime_ns):
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    for match in map(line.fullmatch, text.splitlines()):
        if match and match[1] >= since and match[3] == address:
            ports[match[2]].append(int(match[4]))
            files.add(path)
print(json.dumps({**ports, "files": len(files)}))
