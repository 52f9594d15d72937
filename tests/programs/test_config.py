"""The global config is read exactly as stock reads it: stock's own loader is the oracle."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

import stock
from harness import COMMANDS, Host
from spooled import waiting

LOAD = """
import json
import {module} as fedmsg
print(json.dumps(fedmsg.config.load_config([], None), default=repr, sort_keys=True))
"""

# Prints the folders that loading the config looks into, in the order it does.
WATCH = """
import os, sys
import {module}.config
seen = []
def hook(event, arguments):
    if event in ("os.listdir", "os.scandir") and "fedmsg.d" in str(arguments[0]):
        seen.append(os.path.normpath(arguments[0]))
sys.addaudithook(hook)
{module}.config.load_config([], None)
print("\\n".join(seen))
"""


def both(host: Host, code: str, env: dict[str, str] | None = None) -> tuple[str, str]:
    """What the code prints with ours, and with stock."""
    ours = host.run(COMMANDS / "python", "-c", code.format(module="fedmsg_relay"), env=env)
    assert ours.code == 0, ours.stderr
    return ours.stdout, stock.python(host, code.format(module="fedmsg"), env=env).stdout


def same_config(host: Host, env: dict[str, str] | None = None) -> dict[str, Any]:
    """The config, after checking that both loaders agree on it."""
    ours, stocks = (json.loads(text) for text in both(host, LOAD, env))
    assert ours == stocks
    result: dict[str, Any] = ours
    return result


def test_every_place_is_read_and_a_later_one_wins(host: Host) -> None:
    places = [
        "home/.fedmsg.d/a.py",
        "home/.fedmsg.d/b.py",
        "fedmsg.d/a.py",
        "venv/etc/fedmsg.d/a.py",
        "home/.fedmsg-config.py",
        "fedmsg-config.py",
    ]
    for number, place in enumerate(places):
        mine = {f"only_{number}": number, "last": number, "read": {str(number): place}}
        since = {f"since_{earlier}": number for earlier in range(number + 1)}
        host.write(place, f"config = {mine | since!r}\n")
    config = same_config(host, {"VIRTUAL_ENV": str(host.directory / "venv")})
    assert config["last"] == len(places) - 1
    assert [config[f"only_{number}"] for number in range(len(places))] == list(range(len(places)))
    assert config["read"] == {str(number): place for number, place in enumerate(places)}


def test_the_folders_are_visited_in_the_order_stock_visits_them(host: Host) -> None:
    ours, stocks = both(host, WATCH, {"VIRTUAL_ENV": str(host.directory / "venv")})
    assert ours == stocks
    assert ours.splitlines()[0] == "/etc/fedmsg.d"


def test_without_a_virtual_environment_its_folder_is_not_read(host: Host) -> None:
    host.write("venv/etc/fedmsg.d/a.py", "config = {'unwanted': True}\n")
    assert "unwanted" not in same_config(host)


TREES = {
    "files of a folder in the order of their names": {
        "20-b.py": "config = {'winner': '20'}",
        "10-a.py": "config = {'winner': '10', 'only_10': 1}",
        "9-c.py": "config = {'winner': '9'}",
    },
    "only names that end in .py": {
        "a.py": "config = {'winner': 'a'}",
        "b.py.bak": "config = {'winner': 'b'}",
        "c.txt": "not python",
        ".hidden.py": "config = {'hidden': True}",
        "z.pyc": "config = {'winner': 'z'}",
    },
    "dicts merged recursively": {
        "a.py": "config = {'tree': {'x': {'y': {'one': 1, 'two': 2}}, 'keep': 0}}",
        "b.py": "config = {'tree': {'x': {'y': {'two': 'two', 'three': 3}}}}",
    },
    "endpoints of several files joined": {
        "a.py": "config = {'endpoints': {'bodhi.app01': ['tcp://app01:3000', 'tcp://app01:3001']}}",
        "b.py": "config = {'endpoints': {'bodhi.app02': ['tcp://app02:3000']}}",
    },
    "lists replaced": {
        "a.py": "config = {'several': [1, 2, 3], 'endpoints': {'x.y': ['tcp://a:1', 'tcp://b:1']}}",
        "b.py": "config = {'several': [4], 'endpoints': {'x.y': ['tcp://c:1']}}",
    },
    "a dict and something else replace each other": {
        "a.py": "config = {'one': {'a': 1}, 'two': 2, 'three': None}",
        "b.py": "config = {'one': 1, 'two': {'b': 2}, 'three': {}}",
    },
    "shallow over the defaults": {
        "a.py": "config = {'logging': {'version': 1, 'loggers': {}}}",
    },
    "a string where a list is meant": {
        "a.py": "config = {'endpoints': {'x.y': 'tcp://a:1'}, 'relay_inbound': 'tcp://a:2'}",
    },
    "a tuple where a list is meant": {
        "a.py": "config = {'endpoints': {'x.y': ('tcp://a:1', 'tcp://a:2')}}",
    },
    "imports, variables, classes, and code after the dict": {
        "a.py": """
import socket
from os import path
HOST = socket.gethostname().split('.')[0]
class Ports:
    first = 3000
def address(offset):
    return 'tcp://%s:%i' % (HOST, Ports.first + offset)
config = dict(endpoints={'bodhi.' + HOST: [address(i) for i in range(4)]}, base=path.sep)
if 'no' in config['base']:
    config['wrong'] = True
config['after'] = len(config['endpoints'])
for offset in range(2):
    config['endpoints']['extra.%i' % offset] = address(10 + offset)
""",
    },
    "what a file can see of itself": {
        "a.py": "config = {'name': __name__, 'file': '__file__' in globals()}",
    },
    "names of one file are not seen by the next": {
        "a.py": "SECRET = 1\nconfig = {}",
        "b.py": "config = {'leaked': 'SECRET' in globals(), 'again': 'config' in globals()}",
    },
    "the topic prefix shapes what matches it": {
        "a.py": "config = {'topic_prefix': 'org.example', 'environment': 'stg'}",
    },
    "keys nobody knows": {
        "a.py": "config = {'π': 3.14, 'fedmsg.consumers.x.enabled': True, 'certnames': {'a.b': 'c'}}",
    },
}


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
def test_the_merge_is_that_of_stock(host: Host, tree: dict[str, str]) -> None:
    for name, text in tree.items():
        host.write(f"home/.fedmsg.d/{name}", text)
    same_config(host)


def test_config_filename_replaces_every_other_file(host: Host) -> None:
    only = host.write(
        "elsewhere.cfg",
        "config = {'endpoints': {'relay_outbound': 'tcp://one:1'}, 'relay_inbound': 'tcp://one:2'}",
    )
    ran = host.run("fedmsg-relay", "endpoints", "--json", "--config-filename", only)
    assert ran.code == 0, ran.stderr
    assert json.loads(ran.stdout)["relay_inbound"] == ["tcp://one:2"]
    assert json.loads(ran.stdout)["relay_outbound"] == ["tcp://one:1"]


def test_an_unreadable_file_is_left_out_with_a_warning_if_stderr_takes_it(lonely: Host) -> None:
    unreadable = lonely.write("fedmsg.d/zz.py", "config = {}\n")
    unreadable.chmod(0)
    # Root may read everything, with its capabilities.
    like_others = "setpriv --bounding-set=-dac_override,-dac_read_search" if os.geteuid() == 0 else ""
    for number, redirection in enumerate(("", "2> /dev/full"), start=1):
        ran = lonely.run("/bin/sh", "-c", f"exec {like_others} fedmsg-logger --message x {redirection}")
        assert ran.code == 0
        assert len(waiting(lonely)) == number
        if not redirection:
            assert ran.stderr.startswith(f"warning: config file {unreadable} was left out: ")


def test_a_current_directory_that_was_removed_holds_no_config(host: Host) -> None:
    (host.directory / "fedmsg.d" / "relay.py").rename(host.directory / "home" / ".fedmsg-config.py")
    ran = host.run("/bin/sh", "-c", "mkdir gone && cd gone && rmdir ../gone && exec fedmsg-relay endpoints")
    assert (ran.code, ran.stderr) == (0, "")
    assert host.inbound in ran.stdout
