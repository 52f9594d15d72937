"""The requests at submit: a batch waits for its turn, and all others are answered at once."""

from __future__ import annotations

from collections.abc import Iterator

from fedmsg_relay import submit
from fedmsg_relay.daemon.backlog import RETRY_AFTER, Backlog, Batch
from fedmsg_relay.daemon.sources import Sources
from fedmsg_relay.daemon.stage import Stage
from fedmsg_relay.daemon.turn import ReturnPath, Turn
from fedmsg_relay.network.receiver import Receiver
from fedmsg_relay.network.request import Inquiry, Malformed, Request, read_oversize, read_request
from fedmsg_relay.network.zmtp import Oversize
from fedmsg_relay.runtime import limits
from fedmsg_relay.trust.reasons import Reason

_OVERLOADED = submit.Busy(RETRY_AFTER).encode()


class Requests:
    """Takes in what submitters send.

    Args:
        submits: where submitters are connected.
        stage: after the journal; it answers inquiries of chained relays.
        sources: judges peers by their IP addresses.

    Attributes:
        backlog: the batches that wait for their turn.
    """

    def __init__(self, submits: Receiver, stage: Stage, sources: Sources) -> None:
        self.backlog = Backlog()
        self._submits = submits
        self._stage = stage
        self._sources = sources

    @property
    def has_more(self) -> bool:
        """Whether something has come that no turn has taken yet."""
        return bool(self.backlog) or self._submits.has_more

    def receive(self, turn: Turn, max_size: int) -> Iterator[tuple[Malformed, ReturnPath]]:
        """Take in all requests at once, so that a submitter that sends too many is told so and does not just wait.

        Args:
            turn: gets the answers.
            max_size: maximum bytes of a message, topic and body together.

        Yields:
            Requests that are to be refused, and where the refusal goes.
        """
        bounds = (limits.request_bytes(max_size), submit.MAX_FRAMES, limits.cut_bytes(max_size))
        for peer, requests in self._submits.receive(*bounds):
            for frames in requests:
                if isinstance(frames, Oversize):
                    request: Request | Inquiry | Malformed = read_oversize(frames)
                else:
                    request = read_request(frames)
                reply_to = ReturnPath(peer, request.route)
                if isinstance(request, Malformed):
                    yield request, reply_to
                elif isinstance(request, Inquiry):
                    turn.answers.append((reply_to, self._introduce(request, reply_to)))
                elif answer := self._put(request, reply_to):
                    turn.answers.append((reply_to, answer))

    def _introduce(self, inquiry: Inquiry, reply_to: ReturnPath) -> bytes:
        if self._sources.may_submit(reply_to.peer):
            return self._stage.introduce(inquiry.subscription)
        # So the chained relay keeps what it has.
        return submit.Refused(Reason.SOURCE_NOT_ALLOWED, f"from {reply_to.peer.ip}").encode()

    def _put(self, request: Request, reply_to: ReturnPath) -> bytes:
        """Let a batch wait for its turn; return the answer if it may not."""
        if request.forwarded and not self._stage.takes_forwarded:
            return _OVERLOADED
        # Messages that a chained relay forwards come from many sources, which that relay holds to its own rate.
        if not request.forwarded and (seconds := self._sources.wait(reply_to.peer)):
            return submit.Busy(seconds).encode()
        size = sum(len(topic) + len(body) for topic, body in request.messages)
        if not self.backlog.put(Batch(request.messages, reply_to, size)):
            return _OVERLOADED
        if not request.forwarded:
            self._sources.note_taken(reply_to.peer, len(request.messages))
        return b""
