#!/usr/bin/python
"""Lets the relay run again that ran before a change that did not prove itself, in one execution."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import CommandError, runner
from ansible.module_utils.fedmsg_relay_host.files import Files, RefusedError
from ansible.module_utils.fedmsg_relay_host.restoring import Before, Previous, Stock

DOCUMENTATION = """
module: fedmsg_relay_restore
short_description: Let the previous relay run again
description:
  - Writes the previous unit and settings, and links the previous release if it accepts the config and the journal.
  - Restarts the relay if that has changed anything and it ran before.
  - Puts a stock relay's files in their places again and starts it, if it was stopped.
  - In check mode it changes nothing.
options:
  before:
    description: The state before the change.
    type: dict
    required: true
    suboptions:
      host: {description: The name of the host in messages., type: str, required: true}
      home: {description: The directory of the program., type: path, required: true}
      texts: {description: The previous files by path. An empty text leaves a file alone., type: dict, required: true}
      release: {description: The target of the current link. Empty if there was none., type: str, required: true}
      started: {description: Whether the relay ran., type: bool, required: true}
      invocation: {description: The name that systemd gave to that run., type: str, default: ""}
  tried: {description: The name of the release that did not prove itself., type: str, default: ""}
  reason: {description: The fault., type: str, default: ""}
  move:
    description: Whether a move is undone, in which a relay that did not run before is stopped.
    type: bool
    default: false
  stock_unit: {description: Whether a stock relay has a unit., type: bool, default: false}
  absent: {description: Files of the role in the place of a stock relay., type: list, elements: str, default: []}
  copies:
    description: Files of a stock relay that were replaced.
    type: list
    elements: dict
    default: []
    suboptions:
      src: {description: The file., type: str, required: true}
      dest: {description: Its copy., type: str, required: true}
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Undo a change
  fedmsg_relay_restore:
    before:
      host: app01
      home: /opt/fedmsg-relay
      texts: {/etc/fedmsg-relay/relay.toml: "[bind]\\n"}
      release: releases/0.1.0+0123456789.py311
      started: true
    reason: no message comes through
"""

RETURN = """
said: {description: The relay that runs now, and why., type: str, returned: always}
"""


def main() -> None:
    """Run as Ansible's module."""
    text: dict[str, Any] = {"type": "str", "required": True}
    empty: dict[str, Any] = {"type": "str", "default": ""}
    flag: dict[str, Any] = {"type": "bool", "default": False}
    seen = {
        "host": text,
        "home": {"type": "path", "required": True},
        "texts": {"type": "dict", "required": True},
        "release": text,
        "started": {"type": "bool", "required": True},
        "invocation": empty,
    }
    module = AnsibleModule(
        {
            "before": {"type": "dict", "required": True, "options": seen},
            "tried": empty,
            "reason": empty,
            "move": flag,
            "stock_unit": flag,
            "absent": {"type": "list", "elements": "str", "default": []},
            "copies": {"type": "list", "elements": "dict", "default": [], "options": {"src": text, "dest": text}},
        },
        supports_check_mode=True,
    )
    asked = module.params
    was = dict(asked["before"])
    host, home = was.pop("host"), was.pop("home")
    stock = Stock(asked["stock_unit"], asked["absent"], [(one["dest"], one["src"]) for one in asked["copies"]])
    before = Before(stock=stock, **was)
    files = Files(module.atomic_move, check=module.check_mode)
    previous = Previous(host, home, before, runner(module), files)
    try:
        if asked["move"]:
            previous.move_back()
            module.exit_json(changed=previous.changed, said=asked["reason"])
        said = previous.replace_again(asked["tried"], asked["reason"])
    except (CommandError, OSError, RefusedError) as error:
        module.fail_json(msg=f"{asked['reason']} The previous relay could not be started again: {error}".strip())
    module.exit_json(changed=previous.changed, said=said)


if __name__ == "__main__":
    main()
