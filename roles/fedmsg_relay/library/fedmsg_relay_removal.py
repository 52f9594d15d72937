#!/usr/bin/python
"""Removes things of the role from a host, and keeps what holds messages, in one execution."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import CommandError, runner
from ansible.module_utils.fedmsg_relay_host.files import Files, RefusedError
from ansible.module_utils.fedmsg_relay_host.removal import Goods, Removal, StaysError, holds_messages, told

DOCUMENTATION = """
module: fedmsg_relay_removal
short_description: Remove things of the role fedmsg_relay
description:
  - Stops and switches off units, keeps what holds messages, and removes files. Then systemd forgets the units.
  - A relay that is retired runs again if a message came in its last moment, or if anything goes wrong.
  - In check mode it says what it would remove.
options:
  home: {description: The directory of the program., type: path, required: true}
  backups: {description: Where a new directory keeps what holds messages., type: path, default: /var/backups}
  absent:
    description: Paths to remove. A directory is removed with all it holds.
    type: list
    elements: str
    required: true
  directories:
    description: Directories to remove if nothing else is in them.
    type: list
    elements: str
    default: []
  units: {description: Names of units to stop and switch off., type: list, elements: str, default: []}
  deliver: {description: The unit that delivers waiting messages before that., type: str, default: ""}
  retire: {description: The journal of a relay that is retired. It gets another name., type: str, default: ""}
  state: {description: The directory of a journal to keep., type: str, default: ""}
  spool: {description: The spool. It is kept if there is a message in it., type: str, default: ""}
  given_back:
    description: A copy of another's file, and the path that it gets again.
    type: list
    elements: str
    default: []
  manifest: {description: The list of the role's keys and certificates. They are removed., type: str, default: ""}
  ssldir: {description: The directory of the keys and certificates., type: path, default: /etc/pki/fedmsg}
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Remove the web process
  fedmsg_relay_removal:
    home: /opt/fedmsg-relay
    units: [fedmsg-relay-web.service]
    absent: [/etc/systemd/system/fedmsg-relay-web.service]
"""

RETURN = """
changed_paths: {description: The paths that are gone, or would be., type: list, elements: str, returned: always}
backup: {description: Where messages are kept if there were any., type: str, returned: always}
kept: {description: The directories that were moved there., type: list, elements: str, returned: always}
"""


def main() -> None:
    """Run as Ansible's module."""
    empty: dict[str, Any] = {"type": "str", "default": ""}
    some: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        {
            "home": {"type": "path", "required": True},
            "backups": {"type": "path", "default": "/var/backups"},
            "absent": {"type": "list", "elements": "str", "required": True},
            "directories": some,
            "units": some,
            "deliver": empty,
            "retire": empty,
            "state": empty,
            "spool": empty,
            "given_back": some,
            "manifest": empty,
            "ssldir": {"type": "path", "default": "/etc/pki/fedmsg"},
        },
        supports_check_mode=True,
    )
    asked = dict(module.params)
    files = Files(check=module.check_mode)
    removal = Removal(asked.pop("home"), asked.pop("backups"), runner(module), files)
    state, spool = asked.pop("state"), asked.pop("spool")
    keep = {state: "journal"} if state else {}
    if spool and holds_messages(spool):
        keep[spool] = "spool"
    try:
        kept = removal.remove(Goods(keep=keep, **asked))
    except (CommandError, OSError, RefusedError, StaysError) as error:
        module.fail_json(msg=str(error), **told(removal.diffs))
    diff = {"diff": removal.diffs} if module._diff else {}
    module.exit_json(backup=str(removal.backup), kept=kept, **told(removal.diffs), **diff)


if __name__ == "__main__":
    main()
