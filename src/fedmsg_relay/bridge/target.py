"""The broker: where it is, and as whom the bridge logs in. From relay.toml, or a config file of fedora-messaging."""

from __future__ import annotations

import ssl
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

from fedmsg_relay.daemon.settings import Bridge
from fedmsg_relay.errors import ConfigError

FEDORA_MESSAGING = Path("/etc/fedora-messaging/config.toml")
"""Where Fedora keeps the config of fedora-messaging."""

EXCHANGE = "amq.topic"
"""Every consumer of fedora-messaging is bound to it."""


class Target(NamedTuple):
    """A broker.

    Attributes:
        urls: of its nodes, with ``amqp`` or ``amqps``.
        ca: file of the CA's certificate; None for the system's CAs.
        cert: file of the bridge's certificate; None for a user with a password.
        key: file of its key.
        exchange: that messages are published to.
    """

    urls: tuple[str, ...]
    ca: str | None
    cert: str | None
    key: str | None
    exchange: str

    @property
    def nodes(self) -> list[str]:
        """Host and port of each node, without user and password: for people."""
        return [node(url) for url in self.urls]


class Certificate(NamedTuple):
    """What ``check-config`` says of the bridge's certificate."""

    name: str
    ends: datetime


def find(settings: Bridge, origin: str) -> Target:
    """Find the broker.

    Args:
        settings: ``[bridge]`` of relay.toml.
        origin: the file of that, for messages.

    Raises:
        ConfigError: no broker is named, or a value cannot be used.
    """
    shared = _read(settings, origin)
    tls = shared.get("tls", {}) if isinstance(shared.get("tls", {}), dict) else {}
    urls = settings.amqp_url or _listed(shared.get("amqp_url"))
    if not urls:
        raise ConfigError(f"{origin}: bridge.amqp_url must say where the broker is, such as 'amqps://bridge:@host/%2F'")
    for url in urls:
        _check_url(url, origin)
    found: dict[str, Any] = {
        "ca": settings.ca or tls.get("ca_cert"),
        "cert": settings.cert or tls.get("certfile"),
        "key": settings.key or tls.get("keyfile"),
        "exchange": settings.exchange or shared.get("publish_exchange") or EXCHANGE,
    }
    for name, value in found.items():
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{origin}: bridge.{name} must be text; it is {value!r}")
    if (found["cert"] is None) != (found["key"] is None):
        raise ConfigError(f"{origin}: bridge.cert and bridge.key belong together: only one of them is set")
    if settings.back_queue is not None and settings.back_queue == settings.tap_queue:
        raise ConfigError(f"{origin}: bridge.back_queue and bridge.tap_queue must be two queues")
    return Target(tuple(urls), **found)


def context(target: Target) -> ssl.SSLContext:
    """Make what a connection with TLS needs.

    Args:
        target: the broker.

    Raises:
        ConfigError: a file cannot be read, or key and certificate do not belong together.
    """
    try:
        made = ssl.create_default_context(cafile=target.ca)
    except OSError as error:
        raise ConfigError(f"bridge.ca {target.ca}: {error.strerror or error}") from error
    if target.cert and target.key:
        for name, path in (("cert", target.cert), ("key", target.key)):
            try:
                Path(path).read_bytes()
            except OSError as error:
                raise ConfigError(f"bridge.{name} {path}: {error.strerror}") from error
        try:
            made.load_cert_chain(target.cert, target.key, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            why = getattr(error, "reason", None) or "damaged, or the key is encrypted"
            raise ConfigError(
                f"bridge.cert {target.cert} and bridge.key {target.key} cannot be used together: {why}"
            ) from error
    return made


def certificate(target: Target) -> Certificate | None:
    """Look at the bridge's certificate.

    Args:
        target: the broker.

    Returns:
        As whom it logs in, and until when; None without a certificate.

    Raises:
        ConfigError: it cannot be used, or has expired.
    """
    if any(urlsplit(url).scheme == "amqps" for url in target.urls):
        context(target)
    if target.cert is None:
        return None
    try:
        found = x509.load_pem_x509_certificate(Path(target.cert).read_bytes())
        names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        name = str(names[0].value) if names else ""
    except OSError as error:
        raise ConfigError(f"bridge.cert {target.cert}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"bridge.cert {target.cert}: is not a certificate in PEM") from error
    if found.not_valid_after_utc < datetime.now(UTC):
        raise ConfigError(f"bridge.cert {target.cert} has expired on {found.not_valid_after_utc:%Y-%m-%d}")
    return Certificate(name, found.not_valid_after_utc)


def node(url: str) -> str:
    """Get host and port of a URL, without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"


def _read(settings: Bridge, origin: str) -> Mapping[str, Any]:
    path = FEDORA_MESSAGING if settings.fedora_messaging is None else Path(settings.fedora_messaging)
    if settings.fedora_messaging == "":
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        if settings.fedora_messaging is None and isinstance(error, FileNotFoundError | NotADirectoryError):
            return {}
        raise ConfigError(f"{origin}: bridge.fedora_messaging {path}: {error.strerror}") from error
    except ValueError as error:  # tomllib's, which may quote a line with a password
        raise ConfigError(f"{origin}: bridge.fedora_messaging {path}: is not TOML") from error


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else []


def _check_url(url: str, origin: str) -> None:
    """Refuse a URL that cannot be used; no message shows it, as it may have a password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"amqp", "amqps"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"{origin}: bridge.amqp_url: a URL does not have the form 'amqps://USER:PASSWORD@HOST:PORT/VHOST', "
            "in which the vhost / is %2F"
        )
