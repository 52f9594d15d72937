"""The signatures that the relay checks, and the files and policy for that: relay.toml and global config together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fedmsg_relay import config as global_config
from fedmsg_relay.daemon.settings import DEFAULT_PATH, Signatures, Trust
from fedmsg_relay.errors import ConfigError
from fedmsg_relay.trust.policy import Policy, policy, probe_topic


class Checks(NamedTuple):
    """The checks of signatures: whether they are made, and against which files and policy.

    Attributes:
        signatures: nothing, warn, or enforce.
        ca: file of the CA's certificate; empty where nothing is checked.
        crl: file of the CRL; empty for none.
        policy: which signer may send which topic.
    """

    signatures: Signatures = Signatures.OFF
    ca: str = ""
    crl: str = ""
    policy: Policy = Policy({})


def checks(config: Mapping[str, Any], trust: Trust, path: Path | None = None) -> Checks:
    """Find what is to be done about signatures. No file is read for that: a CA that is missing keeps no relay down.

    Args:
        config: the merged global config.
        trust: the table of relay.toml.
        path: of relay.toml, for messages.

    Raises:
        ConfigError: no file is named for the CA, a URL is named, or the policy cannot be used.
    """
    if trust.signatures is Signatures.OFF:
        return Checks(policy=Policy({}, probe=probe_topic(config)))
    ca = _file(config, path, ("trust.ca", trust.ca), "ca_cert_location")
    if not ca:
        raise ConfigError(
            f"{path or DEFAULT_PATH}: trust.signatures is {str(trust.signatures)!r} and no CA is named: "
            "name a file in trust.ca, or in ca_cert_location of the global config"
        )
    crl = _file(config, path, ("trust.crl", trust.crl), "crl_location")
    return Checks(trust.signatures, ca, crl, policy(config, trust.exempt))


def _file(config: Mapping[str, Any], path: Path | None, setting: tuple[str, str | None], key: str) -> str:
    """Get the file that a setting names, or else a key of the global config."""
    name, value = setting
    where = f"{path or DEFAULT_PATH}: {name}"
    if value is None:
        where = f"global config: {key}"
        value = config.get(key) or ""
        if not isinstance(value, str):
            raise ConfigError(f"{where} must be text; it is {value!r} (read: {global_config.sources(config)})")
    if value.startswith(("https://", "http://")):
        raise ConfigError(f"{where}: {value!r} is a URL, and the relay fetches nothing: name a file")
    if not global_config.is_file_name(value):
        raise ConfigError(f"{where}: {value!r} is not the name of a file")
    return value
