"""The scripts' side: ``init``, ``publish`` and ``destroy``, as stock's scripts call them.

A message goes to submit where the global config names it, else to inbound, else into the spool of this host. A message
that none of them takes is an error. This module is on the path of one-off scripts: it imports only what that needs.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any

from fedmsg_relay import config as global_config
from fedmsg_relay.envelope import Json
from fedmsg_relay.errors import NoRelayError, UsageError, say
from fedmsg_relay.forks import setting_up
from fedmsg_relay.publisher import DEFAULT_TIMEOUT, Publisher, Receipt

_publisher: Publisher | None = None
_inherited: list[Publisher] = []
"""Publishers that were set up before a fork. They are kept: a child must not end what its parent uses."""


def init(**config: Any) -> None:
    """Set up publishing for this process, as ``fedmsg.init(name='relay_inbound', **config)`` does.

    Args:
        config: replaces the global config key by key. ``cert_prefix`` and ``name`` choose the certificate, as with
            stock. ``active`` is accepted; a script always publishes to the relay.

    Raises:
        UsageError: it is set up already.
        ConfigError: the config cannot be used, or wants messages signed and this user cannot sign.
    """
    global _publisher  # noqa: PLW0603 -- stock's contract: one a process
    with setting_up:
        if _publisher is not None and not _publisher.inherited:
            raise UsageError("fedmsg is already initialized")
        if _publisher is not None:
            _inherited.append(_publisher)
        # A forked child publishes as its parent was set up to.
        if _publisher is None:
            _publisher = Publisher({**global_config.load_config(), **config})
        else:
            _publisher = Publisher({**_publisher.config, **config}, reading=_publisher.reading)


def publish(
    topic: str | None = None,
    msg: Any = None,
    modname: str | None = None,
    pre_fire_hook: Callable[[Json], None] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    **config: Any,
) -> Receipt:
    """Publish one message to the relay that the global config names.

    Args:
        topic: the last part of the topic: ``<topic_prefix>.<environment>.<modname>.<topic>``.
        msg: any value that JSON can hold.
        modname: the part before it; the calling module's name where it is left out.
        pre_fire_hook: called with the envelope just before it is sent, signed if it is to be; may change it.
        timeout: seconds this may take, a day at most. (The config's own ``timeout`` is for stock's listeners.)
        config: replaces the global config key by key, if nothing was set up yet.

    Returns:
        The receipt.

    Raises:
        NoRelayError: no relay took it in time and there is no spool; it was not sent (over submit: it was not
            acknowledged).
        RefusedError: a relay's policy refuses it.
        NotWellFormedError: it cannot be sent as JSON that every listener takes.
        ConfigError: the global config cannot be used, or names no relay.
    """
    with setting_up:
        if _publisher is None or _publisher.inherited:
            init(**config)
        publisher = _publisher
    assert publisher is not None  # noqa: S101 -- for the type checker: init raises otherwise
    return publisher.publish(topic, msg, modname, pre_fire_hook, timeout)


def destroy() -> None:
    """Send the messages that are still queued, and undo :func:`init`.

    Raises:
        NoRelayError: the relay left before it had everything.
    """
    global _publisher
    with setting_up:
        closing, _publisher = _publisher, None
        if closing is not None and closing.inherited:
            _inherited.append(closing)
            return
    if closing is not None:
        closing.close()


@atexit.register
def _destroy_at_exit() -> None:
    """Send everything when a script just ends; a failure can only be printed."""
    try:
        destroy()
    except NoRelayError as error:
        say(f"fedmsg_relay: {error}")
