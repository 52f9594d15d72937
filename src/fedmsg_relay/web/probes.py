"""``/live`` and ``/ready`` for supervisors, as fedora-messaging has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from fedmsg_relay.commands.arguments import CRITICAL
from fedmsg_relay.errors import JournalError
from fedmsg_relay.runtime import threads
from fedmsg_relay.web import answers

if TYPE_CHECKING:
    from fedmsg_relay.web.site import Site


async def live(_request: Request) -> Response:
    """The web process runs, with all its threads."""
    if dead := threads.dead():
        return answers.text(f"a thread has died: {dead}\n".encode(), status=503)
    return answers.text(b"OK\n")


async def ready(request: Request) -> Response:
    """The relay answers and is not CRITICAL, and its journal can be read; else 503 with the reason."""
    site: Site = request.app.state.site
    condition = await site.watch.look()
    if condition.code >= CRITICAL:
        return answers.text(f"{condition.line}\n".encode(), status=503)
    try:
        await site.reader.look(lambda journal: journal.ends())
    except JournalError as error:
        return answers.text(f"{error}\n".encode(), status=503)
    return answers.text(b"OK\n")
