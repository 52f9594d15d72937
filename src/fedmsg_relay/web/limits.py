"""Every limit on what a client may cost the web process. docs/web.md has them for users."""

from __future__ import annotations

# A connection.

CONNECTIONS = 400
"""Connections at a time; a client beyond them is told to try again (503)."""

ADDRESS_CONNECTIONS = 250
"""Connections of one IP address; a further one is closed."""

REQUEST_BYTES = 16 * 1024
"""Bytes of a request's line and headers."""

REQUEST_SECONDS = 10.0
"""Time for a client to send its request, and for a connection to stay open without one."""

UNREAD_SECONDS = 20.0
"""Time for which a client may read nothing of an answer; then its connection is cut."""

ANSWER_SECONDS = 300.0
"""Time for an answer to be sent, but for live streams; then its connection is cut."""

STOP_SECONDS = 5
"""Time that a stop leaves to answers under way."""

# Reading the journal.

READERS, SEARCHERS = 4, 2
"""Threads that read the journal at the same time; and, beside them, threads that look at messages one by one."""

READ_SECONDS = 5.0
"""Time for one look into the journal; then the request is refused (503)."""

TURN_SECONDS = 10.0
"""Time for a request to wait for a thread and to read the journal; then it is refused (503)."""

SCANNED_ROWS = 200_000
"""Messages that one request looks at to find those that were asked for."""

LISTED_BYTES = 1024 * 1024
"""Bytes of topics that are read at once to list messages; a longer topic comes alone."""

SCANNED_BYTES = 64 * 1024 * 1024
"""Bytes of bodies that one request searches."""

SCAN_SECONDS = 2.0
"""Time for one search; what was found until then is the answer."""

PAGE_ROWS = 100
"""Maximum of ``rows_per_page``, as datagrepper has it."""

LINES = 10_000
"""Maximum number of messages of one answer of ``/messages``."""

CHUNK_BYTES = 256 * 1024
"""Bytes of messages that one answer holds in memory; a larger message is read in parts of that size."""

WAL_BYTES = 24 * 1024 * 1024
"""Size of the journal's WAL beyond which all readers pause, so that the relay can begin it anew."""

WAL_SECONDS, PAUSE_SECONDS = 0.5, 0.1
"""Interval at which the WAL is looked at, and length of a pause."""

# The index of msg_id.

NAMES = 40_000_000
"""Messages, the newest, that are found by ``msg_id``: 4 bytes of memory each."""

NAMES_AT_ONCE = 10_000
"""Messages that are added to the index before other threads get their turn."""

NAMESAKES = 100
"""Messages that are read to find the one with a ``msg_id``, of those that look like it."""

# The live stream.

STREAMS = 200
"""Live streams at a time; a client beyond them is told to try again (503)."""

ADDRESS_STREAMS = 150
"""Live streams of one IP address; the rest is for others."""

TIP_SECONDS = 0.05
"""Interval at which the end of the journal is looked at while somebody waits for it."""

KEEP_ALIVE_SECONDS = 15.0
"""Interval of the sign of life in a live stream."""

# The page.

SHOWN_BYTES = 256 * 1024
"""Bytes of a body that is shown in full and whose signature is checked."""

SHOWN_TOPIC_BYTES = 1024
"""Bytes of a topic that is shown in full."""

INDENTED_CHARACTERS = 1024 * 1024
"""Characters of a body that is indented; one that would have more is shown as it is."""

SHOWN_ROWS, SHOWN_NEWEST, SHOWN_PEERS = 50, 20, 50
"""Messages of a search, newest messages, and peers that are listed."""

SHOWN_DROPPED = 10
"""Messages of the quarantine that a trace names."""

# Status.

LAGGARDS = 100
"""Listeners that do not keep up, those that have lost most, in the metrics."""

STATUS_SECONDS = 2.0
"""Time for which one answer of the relay's status serves all clients."""
