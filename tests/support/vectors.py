"""Messages with the verdict of stock fedmsg 1.1.7 on each; tests/data/trust-vectors.json says where they are from."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

from harness import REPOSITORY


class Vector(NamedTuple):
    """One message, and what stock says of it under a CA, a CRL and a policy."""

    id: int
    group: str
    what: str
    ca: str
    crl: str | None
    policy: dict[str, Any]
    nitpicky: bool
    topic: str
    stock: bool | str
    body: str


_HELD: dict[str, Any] = json.loads((REPOSITORY / "tests/data/trust-vectors.json").read_text())


def _whole(body: str) -> str:
    for number, text in enumerate(_HELD["certificates"], 1):
        body = body.replace(f"<certificate {number}>", json.dumps(text))
    return body


VECTORS = [Vector(**{**one, "body": _whole(one["body"])}) for one in _HELD["validate"]]
SIGNED: list[str] = [_whole(one["wire"]) for one in _HELD["sign"]]
"""Bodies as stock signed them."""


def write_files(directory: Path) -> None:
    """Write the CAs and CRLs that the vectors name."""
    for name, content in _HELD["files"].items():
        data = content.encode() if isinstance(content, str) else base64.b64decode(content["base64"])
        (directory / name).write_bytes(data)
