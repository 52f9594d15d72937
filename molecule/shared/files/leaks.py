"""Looks for private keys in text that people or programs may read: output of runs, diffs, logs, the systemd journal.

    leaks.py --keys DIR [FILE...]       looks in the files, or in standard input

A leak is the label of a private key, or a line of a key in DIR, also when the whole key is encoded in base64 once
more. The exit code is 1 if there is one; only the place is told. Without a key in DIR there is nothing to look for:
exit code 2.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Iterable
from pathlib import Path

LABEL = b"PRIVATE KEY-----"
SHORTEST = 40
"""Characters of a line that cannot be there by chance."""
CHUNK = 60


def marks(keys: Iterable[bytes]) -> set[bytes]:
    """List what shows a key.

    Args:
        keys: the content of the files of keys.

    Returns:
        Byte strings, any of which is a leak.
    """
    found = {LABEL, base64.b64encode(b"-----BEGIN PRIVATE KEY")[:28]}
    for key in keys:
        found |= {line for line in key.split() if len(line) >= SHORTEST}
        again = base64.b64encode(key)
        found |= {again[at : at + CHUNK] for at in range(0, len(again) - CHUNK, CHUNK)}
    return found


def leaks(text: bytes, shown: set[bytes]) -> list[int]:
    """Find leaks.

    Args:
        text: where to look.
        shown: from :func:`marks`.

    Returns:
        The numbers of the lines that hold one.
    """
    return [number for number, line in enumerate(text.splitlines(), 1) if any(mark in line for mark in shown)]


def main() -> int:
    """Look, and say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=Path, action="append", required=True, metavar="DIR", help="where the keys are")
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="where to look; without any, stdin")
    options = parser.parse_args()
    keys = [path.read_bytes() for directory in options.keys for path in sorted(directory.glob("*.key"))]
    if not keys:
        print("there is no key to look for", file=sys.stderr)
        return 2
    shown = marks(keys)
    texts = {str(path): path.read_bytes() for path in options.files} or {"stdin": sys.stdin.buffer.read()}
    places = [f"{name}:{number}" for name, text in texts.items() for number in leaks(text, shown)]
    print(f"{len(keys)} keys, {sum(map(len, texts.values()))} bytes in {len(texts)} texts, {len(places)} leaks")
    print("\n".join(places))
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
