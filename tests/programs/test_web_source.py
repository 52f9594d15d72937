"""A journal that cannot be looked at for a while costs requests, and nothing for good."""

from __future__ import annotations

import subprocess
import sys
import tempfile

CLOSED_AND_OPENED = """
import asyncio, os, sys, threading
from pathlib import Path
from fedmsg_relay.errors import JournalError
from fedmsg_relay.journal.records import Entry
from fedmsg_relay.journal.store import Journal
from fedmsg_relay.runtime import threads
from fedmsg_relay.web.names import Names
from fedmsg_relay.web.reader import Reader
from fedmsg_relay.web.source import Source
from fedmsg_relay.web.tip import Tip

state = Path(sys.argv[1])
if os.geteuid() == 0:  # root may look into every directory
    os.chown(state, 65534, 65534)
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
journal = Journal(state / "journal.db")
journal.append([Entry(b"org.example", b"{}", "2026-1")])
journal.close()
state.chmod(0)

async def look():
    source = Source(state / "journal.db")
    reader, names = Reader(source), Names(source)
    tip = Tip(reader)
    try:
        await reader.look(lambda journal: journal.ends())
    except JournalError as error:
        print(error)
    threads.start("names", lambda: names.keep(threading.Event()))
    keeping, waiting = asyncio.create_task(tip.keep()), asyncio.create_task(tip.wait(0, 20.0))
    await asyncio.wait({keeping}, timeout=1.0)
    state.chmod(0o700)
    print(await waiting, names.find("2026-1").seq, threads.dead())
    keeping.cancel()

asyncio.run(look())
"""


def test_a_state_directory_that_is_closed_for_a_while() -> None:
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-c", CLOSED_AND_OPENED, state]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.stdout.splitlines() == [f"journal {state}/journal.db: Permission denied", "True 1 {}"], ran.stderr
