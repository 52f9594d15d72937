"""The settings of this daemon: relay.toml, read and checked. A bad setting is refused here.

The global fedmsg config says where the relay is (:mod:`fedmsg_relay.config`).
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from fedmsg_relay.errors import ConfigError
from fedmsg_relay.journal.retention import Retention
from fedmsg_relay.message import DEFAULT_MAX_MESSAGE_SIZE
from fedmsg_relay.network.address import is_path, split
from fedmsg_relay.network.networks import Networks

DEFAULT_PATH = Path("/etc/fedmsg-relay/relay.toml")

Address = Annotated[str, msgspec.Meta(pattern=r"^(tcp://.+:\d+|ipc://.+)$", description="such as tcp://*:9941")]
Size = Annotated[int, msgspec.Meta(ge=1024, le=1024 * 1024 * 1024)]


class Bind(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[bind]``: addresses to bind instead of those the global config names.

    Attributes:
        inbound: instead of ``relay_inbound``.
        outbound: instead of ``endpoints["relay_outbound"]``.
        submit: instead of ``relay_submit``.
    """

    inbound: list[Address] = []
    outbound: list[Address] = []
    submit: list[Address] = []


class Limits(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[limits]``.

    Attributes:
        max_message_size: maximum bytes of topic and body together; a larger message is dropped.
        submit_rate: messages a second that one IP address may submit on average; 0 for no limit.
    """

    max_message_size: Size = DEFAULT_MAX_MESSAGE_SIZE
    submit_rate: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 0.0


class Signatures(StrEnum):
    """The relay's treatment of signatures: ignore them, warn of messages that it does not trust, or refuse these."""

    OFF = "off"
    WARN = "warn"
    ENFORCE = "enforce"


class Trust(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[trust]``: whom the relay believes.

    Attributes:
        signatures: what the relay does about signatures.
        ca: file of the CA's certificate, in PEM; None for the global config's ``ca_cert_location``.
        crl: file of the CRL, in PEM; empty for none, None for the global config's ``crl_location``.
        exempt: beginnings of topics that need no signature.
        inbound_from: networks whose hosts may publish at inbound; empty for all.
        submit_from: networks whose hosts may submit; empty for all.
    """

    signatures: Signatures = Signatures.OFF
    ca: str | None = None
    crl: str | None = None
    exempt: list[Annotated[str, msgspec.Meta(min_length=1)]] = []
    inbound_from: list[str] = []
    submit_from: list[str] = []

    def __post_init__(self) -> None:
        for key, texts in (("inbound_from", self.inbound_from), ("submit_from", self.submit_from)):
            try:
                Networks(texts)
            except ValueError as error:
                raise ValueError(f"trust.{key}: {error}") from None


class Http(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[http]``: the web process.

    Attributes:
        listen: addresses to listen at instead of the relay's own with port 9943.
    """

    listen: list[Address] = []

    def __post_init__(self) -> None:
        for address in self.listen:
            if not is_path(address, "http.listen"):
                split(address, "http.listen")


class Upstream(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[upstream]``: this relay is chained to another one. If the table is empty, the global config names the other.

    Attributes:
        submit: instead of ``relay_submit``; of several relays the first that answers gets everything.
        outbound: instead of ``endpoints["relay_outbound"]``; one for each submit, in the same order.
    """

    submit: list[Address] = []
    outbound: list[Address] = []


class Unroutable(StrEnum):
    """The bridge's treatment of a message that no queue of the broker takes: count it, or wait for a queue."""

    COUNT = "count"
    WAIT = "wait"


class Bridge(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``[bridge]``: the bridge to RabbitMQ, in a process of its own.

    Attributes:
        fedora_messaging: a config file of fedora-messaging, for what is not set here; empty for none, None for
            ``/etc/fedora-messaging/config.toml`` if it exists.
        amqp_url: where the broker is; of several nodes of a cluster the first one that answers.
        ca: file of the CA's certificate, in PEM.
        cert: file of the bridge's certificate, in PEM.
        key: file of its key, in PEM.
        exchange: that messages are published to.
        window: messages that are sent and not yet confirmed.
        unroutable: what is done about a message that no queue takes.
        back_queue: queue whose messages are submitted to the relay.
        tap_queue: queue that the comparator watches.
    """

    fedora_messaging: str | None = None
    amqp_url: list[str] = []
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    exchange: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    window: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 500
    unroutable: Unroutable = Unroutable.COUNT
    back_queue: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    tap_queue: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All of relay.toml; settings that the file leaves out have their defaults."""

    bind: Bind = Bind()
    limits: Limits = Limits()
    journal: Retention = Retention()
    trust: Trust = Trust()
    http: Http = Http()
    upstream: Upstream | None = None
    bridge: Bridge | None = None


RELOADED = ("limits", "journal", "trust")
"""Tables that a running relay re-reads on SIGHUP; all others change with a restart."""


def reloaded(settings: Settings) -> dict[str, dict[str, Any]]:
    """Get the settings that a reload can change.

    Args:
        settings: all settings.

    Returns:
        The tables of ``RELOADED``, each with every key.
    """
    return {table: msgspec.structs.asdict(getattr(settings, table)) for table in RELOADED}


def load(path: Path | None = None) -> Settings:
    """Read relay.toml.

    Args:
        path: the file; without one ``/etc/fedmsg-relay/relay.toml`` if it exists.

    Returns:
        The settings; the defaults where there is no file.

    Raises:
        ConfigError: the file cannot be read or is not TOML, the named one is missing, or a key or value is not
            accepted. The error names the file, the key and the accepted values.
    """
    named, path = path, path or DEFAULT_PATH
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Settings)
    except OSError as error:
        if named is None and isinstance(error, FileNotFoundError | NotADirectoryError):
            return Settings()
        raise ConfigError(f"{path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(str(error))}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # also of a number or a nesting that is too long
        raise ConfigError(f"{path}: not TOML: {error}") from error


def accepted() -> dict[str, list[str]]:
    """List the tables and keys that relay.toml may have.

    Returns:
        The keys of each table.
    """
    tables: dict[str, type[msgspec.Struct]] = {
        "bind": Bind,
        "limits": Limits,
        "journal": Retention,
        "trust": Trust,
        "http": Http,
        "upstream": Upstream,
        "bridge": Bridge,
    }
    return {name: [key.name for key in msgspec.structs.fields(table)] for name, table in tables.items()}


def _explain(error: str) -> str:
    """Add the accepted values to msgspec's message, which names the key."""
    if "unknown field" in error:
        keys = "; ".join(f"[{table}] {', '.join(names)}" for table, names in accepted().items())
        return f"{error.replace('Object contains unknown field', 'unknown key')} (accepted: {keys})"
    for table in ("trust", "http"):
        if error.startswith(f"{table}."):
            return error.removesuffix(f" - at `$.{table}`")  # the key stands in front, and its value
    if "matching regex" in error:
        return f"{error} (accepted: an address such as 'tcp://*:9941', 'tcp://[::1]:9941' or 'ipc:///path')"
    return error
