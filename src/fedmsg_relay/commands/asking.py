"""Asks the web processes of relays where a message is; anybody may answer, so each answer has a time and is checked."""

from __future__ import annotations

import http.client
import os
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import msgspec

from fedmsg_relay import events
from fedmsg_relay.events import Moment, NotOursError
from fedmsg_relay.tailing import PORT

TIMEOUT = 10.0
"""Maximum time in seconds for the answers of all relays that are asked together."""

MOST_RELAYS = 10
"""Maximum number of relays that are asked."""

OURS = "url", "upstream_of"
"""What this side adds to an answer."""

_MAX_ANSWER = 1024 * 1024

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Journaled(msgspec.Struct):
    seq: _Count
    time: Moment
    bytes: _Count
    topic: str
    signature: str
    published: bool
    signer: str | None = None
    username: str | None = None
    published_by: Moment | None = None


class _Dropped(msgspec.Struct):
    time: Moment
    reason: str
    source: str
    via: str


class _Link(msgspec.Struct):
    submit: str
    state: str


class _Known(msgspec.Struct):
    """What has to be in the answer of a relay; there may be more."""

    journal: _Journaled | None
    quarantine: list[_Dropped]
    upstream: list[_Link]


class _Fault(msgspec.Struct):
    error: str


def ask_all(wanted: Sequence[str], msg_id: str) -> list[dict[str, Any]]:
    """Ask relays, and then those to which they hand over.

    Args:
        wanted: URLs of web processes.
        msg_id: of the message.

    Returns:
        The answer of each, with its ``url``, and with the ``url`` of the relay that it is ``upstream_of``. It is an
        ``error`` where a relay gave none.
    """
    relays = _ask_together(wanted, msg_id)
    asked = {urlsplit(url).hostname for url in wanted}
    upstream: dict[str, str] = {}
    for relay in relays:
        for link in relay.get("upstream", ()):
            host = _host(link["submit"])
            if host and host not in asked and len(relays) + len(upstream) < MOST_RELAYS:
                asked.add(host)
                upstream[f"http://{f'[{host}]' if ':' in host else host}:{PORT}"] = relay["url"]
    return relays + [
        {**relay, "upstream_of": upstream[relay["url"]]} for relay in _ask_together(list(upstream), msg_id)
    ]


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # such as a bracket that is not closed
        return None


def _ask_together(urls: Sequence[str], msg_id: str) -> list[dict[str, Any]]:
    """Ask each in a thread, which is left behind when it is late: names take their own time to resolve."""
    deadline = time.monotonic() + TIMEOUT
    answers: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
    for url in urls:
        threading.Thread(target=_ask, args=(answers, url, msg_id), daemon=True).start()
    found: dict[str, dict[str, Any]] = {}
    while len(found) < len(urls) and (left := deadline - time.monotonic()) > 0:
        with suppress(queue.Empty):
            url, told = answers.get(timeout=left)
            found[url] = told
    late = {"error": f"no answer within {TIMEOUT:.3g} s"}
    return [{"url": url} | found.get(url, late) for url in urls]


def _ask(answers: queue.SimpleQueue[tuple[str, dict[str, Any]]], url: str, msg_id: str) -> None:
    try:
        told = _read(_get(url, f"/trace?id={quote(os.fsencode(msg_id), safe='')}"))
    except NotOursError:
        told = {"error": "not a web process of fedmsg-relay"}
    except (OSError, http.client.HTTPException, ValueError) as error:
        told = {"error": str(error) or type(error).__name__}
    answers.put((url, told))


def _get(url: str, path: str) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path + path)
        return connection.getresponse().read(_MAX_ANSWER)
    finally:
        connection.close()


def _read(answer: bytes) -> dict[str, Any]:
    told: dict[str, Any] = events.read(answer, dict[str, Any])
    if "error" in told:
        return {"error": events.convert(told, _Fault).error}
    events.convert(told, _Known)
    return {name: value for name, value in told.items() if name not in OURS}
