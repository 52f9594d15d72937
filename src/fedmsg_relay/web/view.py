"""Shows messages on the page: as text that a person can read, and that cannot pass for anything else."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from fedmsg_relay.errors import printable
from fedmsg_relay.journal.records import Record
from fedmsg_relay.web import limits
from fedmsg_relay.web.history import Published
from fedmsg_relay.web.rows import Row


@dataclass(frozen=True)
class Line:
    """A message in a list.

    Attributes:
        seq: its number.
        when: when it was journaled.
        topic: its topic, or the beginning of a long one, with characters escaped that are not printed as they are.
        msg_id: its name; empty if it has none.
        size: bytes of its body.
    """

    seq: int
    when: str
    topic: str
    msg_id: str
    size: int


@dataclass(frozen=True)
class Shown(Line):
    """One message in full.

    Attributes:
        body: indented where it is not too large; else its beginning.
        cut: whether the body goes on.
        link: where its exact bytes are; empty if it has no name.
    """

    body: str
    cut: bool
    link: str


def line(row: Row | Record) -> Line:
    """Show a message in a list."""
    return Line(row.seq, when(row.time), clean(beginning(row.topic)), printable(row.msg_id or ""), row.size)


def shown(record: Record) -> Shown:
    """Show one message in full."""
    body = record.body
    cut = len(body) > limits.SHOWN_BYTES
    text = body[: limits.SHOWN_BYTES].decode(errors="backslashreplace") if cut else _indented(body)
    link = f"/id?id={quote(record.msg_id, safe='')}" if record.msg_id else ""
    about = line(record)
    return Shown(about.seq, about.when, about.topic, about.msg_id, len(body), printable(text, keep="\n"), cut, link)


def when(microseconds: float) -> str:
    """Write a time for a person."""
    try:
        moment = datetime.fromtimestamp(microseconds / 1e6, UTC)
    except (ValueError, OverflowError, OSError):
        return "?"
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def published(found: Published | None) -> str:
    """Write whether a message is published, and by when."""
    if found is None:
        return "not yet: it waits in the journal"
    # A whole second, and not before the time that is noted.
    return f"yes, by {when(-(-found.by // 1_000_000) * 1_000_000)} UTC" if found.by else "yes; the time is not recorded"


def beginning(topic: bytes) -> bytes:
    """Cut a topic, which may be as long as a message, and say so."""
    return topic if len(topic) <= limits.SHOWN_TOPIC_BYTES else topic[: limits.SHOWN_TOPIC_BYTES] + b"... (cut)"


def clean(text: bytes) -> str:
    """Decode bytes for a person."""
    return printable(text.decode(errors="backslashreplace"))


def duration(seconds: float) -> str:
    """Write a length of time for a person, in its two largest units."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def size(count: float) -> str:
    """Write a number of bytes for a person."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _indented(body: bytes) -> str:
    """Indent JSON, but not where that would make very much of it: values that are nested deep."""
    written = io.StringIO()
    try:
        for part in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(json.loads(body)):
            written.write(part)
            if written.tell() > limits.INDENTED_CHARACTERS:
                return body.decode(errors="backslashreplace")
    except (ValueError, RecursionError):
        return body.decode(errors="backslashreplace")
    return written.getvalue()
