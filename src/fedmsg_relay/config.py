"""The global fedmsg config, read as stock fedmsg 1.1.7 reads it. A value that cannot be used is refused here.

Files, in this order, later wins: ``*.py`` (sorted) of ``/etc/fedmsg.d``, ``~/.fedmsg.d``, ``./fedmsg.d`` and
``$VIRTUAL_ENV/etc/fedmsg.d``, then ``/etc/fedmsg-config.py``, ``~/.fedmsg-config.py``, ``./fedmsg-config.py``.
Each is executed Python that leaves a dict ``config``. Between files dicts are merged recursively and other values
replaced; the result is laid over the built-in defaults key by key. Naming a file on the command line replaces all.

This module is on the path of every one-off script: it imports only what that needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fedmsg_relay.errors import ConfigError, say

Config = dict[str, Any]

DEFAULTS: Mapping[str, Any] = {
    "topic_prefix": "org.fedoraproject",
    "environment": "dev",
    "io_threads": 1,
    "post_init_sleep": 0.5,
    "timeout": 2,
    "print_config": False,
    "high_water_mark": 0,
    "zmq_linger": 1000,
    "active": False,
    "persistent_store": None,
    "logging": {
        "version": 1,
        "formatters": {
            "bare": {
                "datefmt": "%Y-%m-%d %H:%M:%S",
                "format": "[%(asctime)s][%(name)10s %(levelname)7s] %(message)s",
            }
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": "bare",
                "level": "INFO",
                "stream": "ext://sys.stdout",
            }
        },
        "loggers": {
            name: {"level": "INFO", "propagate": False, "handlers": ["console"]} for name in ("fedmsg", "moksha")
        },
    },
}

NUMBERS: Mapping[str, range] = {"io_threads": range(1, 101), "high_water_mark": range(2**31)}
"""Numbers that are accepted. Each thread takes two file descriptors, and a process seldom has more than 1024."""

PLACES = ("relay_submit", "relay_inbound")
"""Keys by which scripts find the relay."""

_cache: Config = {}


class Reading(NamedTuple):
    """How the config files were read, to look again where the relay is.

    Attributes:
        filenames: files that were named explicitly.
        here: the current directory of that time.
        places: the addresses that the files held; a script may have changed the config since.
    """

    filenames: Sequence[str]
    here: str
    places: Config


last_reading = Reading((), "", {})
"""The last reading of this process."""


def load_config(
    extra_args: Sequence[Any] | None = None,  # noqa: ARG001 -- stock's signature; no command line is read here
    doc: str | None = None,  # noqa: ARG001 -- likewise
    filenames: Sequence[str] | None = None,
    invalidate_cache: bool = False,
) -> Config:
    """Load the global config, as ``fedmsg.config.load_config([], None)`` does.

    As with stock it is loaded once and then shared: ``init`` and ``publish`` see what a script changes in it.

    Args:
        extra_args: accepted as by stock, without effect.
        doc: accepted as by stock, without effect.
        filenames: files to read instead of those in the usual places.
        invalidate_cache: read the files again.

    Returns:
        The config. ``endpoints`` is a dict of lists.

    Raises:
        ConfigError: a file cannot be executed or leaves no ``config``, or the merged config has no ``endpoints`` or
            a value that cannot be used.
    """
    global _cache  # noqa: PLW0603 -- stock's contract: one config a process
    if invalidate_cache or not _cache:
        _cache = read(filenames)
    return _cache


def read(filenames: Sequence[str] | None = None, stand_in: Mapping[str, str] | None = None) -> Config:
    """Read and merge the config files, without the cache.

    Args:
        filenames: files to read instead of those in the usual places.
        stand_in: for an installed path, the file to read in its place, also when nothing is installed there yet.

    Returns:
        The merged config, laid over the defaults.

    Raises:
        ConfigError: as for :func:`load_config`.
    """
    global last_reading  # noqa: PLW0603 -- scripts get a dict, as from stock
    here = current_directory()
    config = merged(filenames, stand_in or {}, here)
    named = [os.path.join(here, path) for path in filenames or ()]
    last_reading = Reading(named, here, {key: listed(config.get(key)) for key in PLACES})
    return config


def merged(filenames: Sequence[str] | None, stand_in: Mapping[str, str], here: str) -> Config:
    """Read and merge the config files, like :func:`read`, without remembering it as the last reading.

    Args:
        filenames: as for :func:`read`.
        stand_in: as for :func:`read`.
        here: the directory to look in as the current one.

    Raises:
        ConfigError: as for :func:`load_config`.
    """
    found: Config = {}
    for path in files(filenames, stand_in, here):
        _merge(found, _execute(path, stand_in.get(path, path)))
    config: Config = {**DEFAULTS, **found}
    if filenames:
        config["config_filename"] = filenames[0]  # stock's name for it
    if not isinstance(config.get("endpoints"), dict):
        raise ConfigError(f"global config must hold a dict 'endpoints' (read: {sources(config, stand_in)})")
    check(config, stand_in)
    config.setdefault("topic_prefix_re", config["topic_prefix"].replace(".", r"\.") + r"\.[^\W\d_]+")
    config["endpoints"] = {name: listed(value) for name, value in config["endpoints"].items()}
    return config


def check(config: Mapping[str, Any], stand_in: Mapping[str, str] | None = None) -> None:
    """Refuse values that no message can be sent with.

    Args:
        config: a merged config, or what a script made of it.
        stand_in: as for :func:`files`.

    Raises:
        ConfigError: it names the key.
    """
    for key in ("topic_prefix", "environment"):
        value = config.get(key)
        if not _is_text(value):
            raise ConfigError(f"global config: {key} must be text; it is {value!r} (read: {sources(config, stand_in)})")
    for key, accepted in NUMBERS.items():
        value = config.get(key)
        if type(value) is not int or value not in accepted:  # a bool is not a number here
            raise ConfigError(
                f"global config: {key} must be a number from {accepted[0]} to {accepted[-1]}; it is {value!r} "
                f"(read: {sources(config, stand_in)})"
            )


def files(
    filenames: Sequence[str] | None = None, stand_in: Mapping[str, str] | None = None, here: str | None = None
) -> list[str]:
    """List the config files that are read, in order.

    Args:
        filenames: files named explicitly, which replace the usual places.
        stand_in: installed paths that count as present because another file stands in for them.
        here: the directory to look in instead of the current one.

    Returns:
        Paths of files that exist (or are stood in for).

    Raises:
        ConfigError: a file named explicitly does not exist.
    """
    stand_in = stand_in or {}
    if filenames:
        for path in filenames:
            if not os.path.isfile(path) and path not in stand_in:
                raise ConfigError(f"{path} is not a file")
        return list(filenames)
    home, here = os.path.expanduser("~"), here or current_directory()
    found = [path for folder in _folders(here) for path in _listing(folder, stand_in)]
    single = ["/etc/fedmsg-config.py", f"{home}/.fedmsg-config.py", f"{here}/fedmsg-config.py"]
    return found + [path for path in single if os.path.isfile(path) or path in stand_in]


def sources(config: Mapping[str, Any], stand_in: Mapping[str, str] | None = None) -> str:
    """Say where a config was read from, for a message to a person.

    Args:
        config: a merged config.
        stand_in: as for :func:`files`.

    Returns:
        The files, separated by commas, or that none was found.
    """
    named = config.get("config_filename")
    if named:
        return ", ".join(files([named], stand_in))
    return (", ".join(files(None, stand_in)) or "no file found in the usual places") + _closed_folders()


def listed(value: object) -> list[Any]:
    """Take a config value that may be one string or a list of them.

    Args:
        value: a string, a sequence, or None.

    Returns:
        Its items; of a string the string itself.
    """
    return list(value) if isinstance(value, (list, tuple, set)) else [value]


def addresses(config: Mapping[str, Any], key: str) -> list[str]:
    """Get the relay's addresses from the global config.

    Args:
        config: the merged config.
        key: such as ``relay_inbound``, or ``relay_outbound`` (which stands in ``endpoints``).

    Returns:
        Addresses such as ``tcp://busgateway01.example.org:9941``; at least one.

    Raises:
        ConfigError: the config names no address, or an address that is not a string.
    """
    value = config["endpoints"].get(key) if key == "relay_outbound" else config.get(key)
    name = f"endpoints[{key!r}]" if key == "relay_outbound" else key
    found = [] if value is None else listed(value)
    if not found or not all(address and _is_text(address) for address in found):
        example = "http://host:9943" if key == "relay_web" else "tcp://host:9941"
        raise ConfigError(
            f"global config: {name} must name the relay's address, such as {example!r}, or a list of them; "
            f"it is {value!r} (read: {sources(config)})"
        )
    return found


def current_directory() -> str:
    """Get the directory in which this process is.

    Returns:
        Its path; one below which nothing can be, if it was removed.
    """
    try:
        return os.getcwd()
    except FileNotFoundError:
        return os.devnull


def is_file_name(text: str) -> bool:
    """Tell whether a file can have a name: the system refuses a NUL, and what its encoding does not have.

    Args:
        text: the name; empty is accepted.
    """
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value  # without lone surrogates


def _closed_folders() -> str:
    """Name the folders that this user may not read, as the end of a sentence; empty if there are none."""
    there = [folder for folder in _folders(current_directory()) if os.path.isdir(folder)]
    closed = [folder for folder in there if not os.access(folder, os.R_OK | os.X_OK)]
    return "".join(f"; {folder} cannot be read by this user" for folder in closed)


def _folders(here: str) -> list[str]:
    """List the folders of config files, in order."""
    home = os.path.expanduser("~")
    folders = ["/etc/fedmsg.d", f"{home}/.fedmsg.d", f"{here}/fedmsg.d"]
    if "VIRTUAL_ENV" in os.environ:
        folders.append(os.path.join(os.environ["VIRTUAL_ENV"], "etc/fedmsg.d"))
    return folders


def _listing(folder: str, stand_in: Mapping[str, str]) -> list[str]:
    try:
        names = {name for name in os.listdir(folder) if name.endswith(".py")}
    except OSError:
        names = set()
    names |= {os.path.basename(path) for path in stand_in if os.path.dirname(path) == folder}
    return [path for name in sorted(names) if os.path.isfile(path := os.path.join(folder, name)) or path in stand_in]


def _execute(installed: str, path: str) -> Config:
    """Execute one config file; ``installed`` is what messages call it."""
    variables: Config = {}
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        # Stock goes on without a file it may not read; so do we, but not in silence.
        say(f"warning: config file {installed} was left out: {error.strerror}")
        return {}
    try:
        exec(compile(source, installed, "exec"), variables)  # noqa: S102 -- config files are Python, by stock's contract
    except SyntaxError as error:
        raise ConfigError(f"{installed}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{installed}, line {_line(error, installed)}: {type(error).__name__}: {error}") from error
    config = variables.get("config")
    if not isinstance(config, dict):
        raise ConfigError(f"{installed}: must leave a dict called 'config'")
    return config


def _line(error: BaseException, path: str) -> int | str:
    """Find the line of a config file that raised."""
    line: int | str = "?"
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _merge(into: Config, other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(into.get(key), dict) and isinstance(value, dict):
            _merge(into[key], value)
        else:
            into[key] = value
