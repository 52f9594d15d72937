"""A fedmsg relay, and the scripts' side of it: ``import fedmsg_relay as fedmsg``.

Only what a one-off script uses is here, and each part is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedmsg_relay.forks import setting_up

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fedmsg_relay import config as config
    from fedmsg_relay.client import destroy as destroy
    from fedmsg_relay.client import init as init
    from fedmsg_relay.client import publish as publish
    from fedmsg_relay.publisher import Receipt as Receipt
    from fedmsg_relay.tailing import Message as Message
    from fedmsg_relay.tailing import tail as tail

__all__ = ["Message", "Receipt", "__version__", "config", "destroy", "init", "publish", "tail"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with setting_up:  # all imports: a fork amid one would leave its lock locked in the child
        from importlib import import_module  # noqa: PLC0415 -- a script that only reads the config loads no ZeroMQ

        if name == "config":
            return import_module("fedmsg_relay.config")
        module = "fedmsg_relay.tailing" if name in {"Message", "tail"} else "fedmsg_relay.client"
        return getattr(import_module(module), name)
