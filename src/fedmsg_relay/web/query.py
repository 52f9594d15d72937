"""The parameters of a search, as datagrepper has them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from fedmsg_relay.web import limits

ROWS_PER_PAGE = 25
WINDOW_SECONDS = 600.0
"""How far a search reaches back from ``end`` if there is neither ``start`` nor ``delta``."""

FOREIGN = ("user", "package", "agent", "not_user", "not_package", "not_agent", "meta")
"""Parameters of datagrepper that only fedmsg.meta can answer."""
ABSENT = ("callback", "chrome", "grouped", "size")
"""Parameters of datagrepper for its web pages and other sites' scripts."""
SINGLE = ("start", "end", "delta", "page", "rows_per_page", "order", "after", "before")
REPEATED = ("topic", "category", "contains", "not_topic", "not_category")


class BadRequestError(ValueError):
    """A request that cannot be answered; the text says why."""


@dataclass(frozen=True)
class Query:
    """A search.

    Attributes:
        start: the earliest time, in Unix microseconds; None for no limit.
        end: the latest time.
        after: only messages with a higher ``seq``.
        before: only messages with a lower ``seq``.
        page: from 1.
        rows: messages of a page.
        descending: the newest first.
        topics: the topic is one of these; none for any.
        categories: the fourth word of the topic is one of these; none for any.
        contains: the body has one of these; none for any.
        not_topics: the topic is none of these.
        not_categories: the fourth word of the topic is none of these.
        arguments: of the answer, as datagrepper names them.
    """

    start: int | None
    end: int | None
    after: int
    before: int | None
    page: int
    rows: int
    descending: bool
    topics: frozenset[bytes]
    categories: frozenset[bytes]
    contains: tuple[bytes, ...]
    not_topics: frozenset[bytes]
    not_categories: frozenset[bytes]
    arguments: Mapping[str, Any]

    @property
    def selects(self) -> bool:
        """Whether messages have to be looked at one by one."""
        return any((self.topics, self.categories, self.contains, self.not_topics, self.not_categories))

    def takes(self, topic: bytes) -> bool:
        """Whether a message with this topic is wanted, as far as the topic tells."""
        if topic in self.not_topics or (self.topics and topic not in self.topics):
            return False
        if not self.categories and not self.not_categories:
            return True
        words = topic.split(b".", 4)
        category = words[3] if len(words) > 3 else b""
        return category not in self.not_categories and (not self.categories or category in self.categories)

    def takes_body(self, body: bytes) -> bool:
        """Whether a message with this body is wanted."""
        return not self.contains or any(text in body for text in self.contains)


def parameters(query: bytes, accepted: Sequence[str]) -> dict[str, list[str]]:
    """Take the query of a request apart.

    Args:
        query: what follows the ``?``.
        accepted: names of parameters.

    Returns:
        The values of each parameter.

    Raises:
        BadRequestError: there is a parameter that is not accepted.
    """
    if len(query) > limits.REQUEST_BYTES:
        raise BadRequestError(f"the query has more than {limits.REQUEST_BYTES} bytes")
    try:
        found = parse_qs(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except (ValueError, UnicodeError):
        raise BadRequestError("the query is not UTF-8, or has more than 100 parameters") from None
    for name in found:
        if name in accepted:
            continue
        if name in FOREIGN:
            raise BadRequestError(f"{name} needs fedmsg.meta, which this server does not have: leave it out")
        if name in ABSENT:
            raise BadRequestError(f"{name} is not offered: this server answers with JSON only")
        raise BadRequestError(f"unknown parameter {name[:40]!r} (accepted: {', '.join(accepted)})")
    return found


def single(found: Mapping[str, list[str]], name: str) -> str | None:
    """Get the value of a parameter that may be given once; None if it is not there.

    Raises:
        BadRequestError: it is given several times.
    """
    values = found.get(name, [])
    if len(values) > 1:
        raise BadRequestError(f"{name} is given {len(values)} times")
    return values[0] if values else None


def msg_id(query: bytes) -> str:
    """Read a query that names one message, as ``id``.

    Args:
        query: as it came.

    Raises:
        BadRequestError: it has no ``id``, or something else.
    """
    if found := single(parameters(query, ["id"]), "id"):
        return found
    raise BadRequestError("id is missing: the msg_id of a message")


def whole(found: Mapping[str, list[str]], name: str, default: int, lowest: int = 0, highest: int = 2**63 - 1) -> int:
    """Get a parameter that is a whole number.

    Raises:
        BadRequestError: it is not one, or out of range.
    """
    text = single(found, name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and lowest <= int(text) <= highest):
        raise BadRequestError(f"{name} must be a whole number from {lowest} to {highest}")
    return int(text)


def moment(text: str, name: str) -> float:
    """Read a time.

    Args:
        text: Unix seconds or ISO 8601; without an offset it is UTC.
        name: of the parameter.

    Returns:
        Unix seconds.

    Raises:
        BadRequestError: it is not a time.
    """
    try:
        seconds = float(text)
    except ValueError:
        try:
            # In a query + stands for a space; that of an offset is seldom written as %2B.
            read = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        except ValueError:
            raise BadRequestError(f"{name} must be Unix seconds or ISO 8601, such as 2026-01-31T12:00:00") from None
        seconds = (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    if not -1e11 < seconds < 1e11:  # also NaN
        raise BadRequestError(f"{name} is out of range")
    return seconds


def read(query: bytes) -> Query:
    """Read the parameters of a search.

    Args:
        query: what follows the ``?``.

    Raises:
        BadRequestError: it cannot be answered.
    """
    found = parameters(query, (*SINGLE, *REPEATED))
    start, end, delta = _window(found)
    page = whole(found, "page", 1, lowest=1, highest=10**12)
    rows = whole(found, "rows_per_page", ROWS_PER_PAGE, lowest=1, highest=limits.PAGE_ROWS)
    order = single(found, "order") or "desc"
    if order not in {"asc", "desc"}:
        raise BadRequestError("order must be asc or desc")
    many = {name: found.get(name, []) for name in REPEATED}
    if many["contains"] and not (many["topic"] or many["category"]):
        raise BadRequestError("contains needs a topic or a category as well")
    before = whole(found, "before", 0) if "before" in found else None
    arguments = {
        "start": start,
        "end": end,
        "delta": delta,
        "page": page,
        "rows_per_page": rows,
        "order": order,
        "topics": many["topic"],
        "categories": many["category"],
        "contains": many["contains"],
        "not_topics": many["not_topic"],
        "not_categories": many["not_category"],
    }
    encoded = {name: frozenset(text.encode() for text in values) for name, values in many.items()}
    return Query(
        start=None if start is None else math.ceil(start * 1e6),
        end=None if end is None else _last_microsecond(end),
        after=whole(found, "after", 0),
        before=before,
        page=page,
        rows=rows,
        descending=order == "desc",
        topics=encoded["topic"],
        categories=encoded["category"],
        # As the body has it: with escapes, or in UTF-8.
        contains=tuple(form for text in many["contains"] for form in forms(text)),
        not_topics=encoded["not_topic"],
        not_categories=encoded["not_category"],
        arguments=arguments,
    )


def forms(text: str) -> set[bytes]:
    """Get the forms that a text may have in a body: as it is, or in a string with escapes.

    Args:
        text: as a person writes it.
    """
    strings = json.dumps(text), json.dumps(text, ensure_ascii=False)
    return {text.encode(), *(string[1:-1].encode() for string in strings)}


def _window(found: Mapping[str, list[str]]) -> tuple[float | None, float | None, float | None]:
    """Work out start, end and delta as datagrepper does, in seconds."""
    given = {name: single(found, name) for name in ("start", "end", "delta")}
    start = moment(given["start"], "start") if given["start"] else None
    end = moment(given["end"], "end") if given["end"] else None
    if start is None and end is None and not given["delta"]:
        return None, None, None
    if given["delta"]:
        try:
            delta = float(given["delta"])
        except ValueError:
            delta = -1.0
        if not 0 <= delta < 1e11:
            raise BadRequestError("delta must be a number of seconds")
        if end is None:
            end = time.time() if start is None else start + delta
        if start is None:
            start = end - delta
    else:
        end = time.time() if end is None else end
        start = end - WINDOW_SECONDS if start is None else start
    return start, end, end - start


def _last_microsecond(end: float) -> int:
    """The end of a range: a whole second is meant with all of its parts, as ``timestamp`` has whole seconds."""
    return (int(end) + 1) * 1_000_000 - 1 if end == int(end) else int(end * 1e6)
