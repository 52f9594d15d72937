#!/usr/bin/python
"""Runs the relay as its files say, and proves it, in one execution."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import CommandError, runner
from ansible.module_utils.fedmsg_relay_host.files import Files, RefusedError
from ansible.module_utils.fedmsg_relay_host.service import NotProvedError, Places, Service, Wanted

DOCUMENTATION = """
module: fedmsg_relay_service
short_description: Run the relay as its files say, and prove it
description:
  - Starts, restarts or reloads the relay where it does not run as its files say, and enables its unit.
  - A reload that does not bring the new settings is followed by a restart.
  - Fails with the end of the relay's journal if it is not up. A relay that did not run before is then stopped again.
  - In check mode it changes nothing and sends no message.
options:
  host: {description: The name of the host in messages., type: str, required: true}
  home: {description: The directory of the program., type: path, required: true}
  unit: {description: The path of the relay's unit., type: path, required: true}
  journal: {description: The path of the relay's journal., type: path, required: true}
  user: {description: The name of the relay's user and group., type: str, required: true}
  restart:
    description:
      - Whether to restart it in any case, and to prove it at its own addresses. Uses none of the following options.
    type: bool
    default: false
  checked:
    description: The answer of C(check-config) about the settings, as JSON. Empty if nobody could check them.
    type: str
    default: ""
  replaced: {description: Whether its program or its unit was replaced., type: bool, default: false}
  prove:
    description: An inbound and an outbound address through which a message has to come.
    type: list
    elements: str
    default: []
  listeners:
    description: The port where a stock relay has listeners that this relay waits for. 0 if there is none.
    type: int
    default: 0
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Restart the relay
  fedmsg_relay_service:
    host: app01
    home: /opt/fedmsg-relay
    unit: /etc/systemd/system/fedmsg-relay.service
    journal: /var/lib/fedmsg-relay/journal.db
    user: fedmsg
    restart: true
"""

RETURN = """
said: {description: The actions taken, or to be taken. Empty if there are none., type: str, returned: always}
"""


def main() -> None:
    """Run as Ansible's module."""
    path: dict[str, Any] = {"type": "path", "required": True}
    text: dict[str, Any] = {"type": "str", "required": True}
    flag: dict[str, Any] = {"type": "bool", "default": False}
    module = AnsibleModule(
        {
            "host": text,
            "home": path,
            "unit": path,
            "journal": path,
            "user": text,
            "restart": flag,
            "checked": {"type": "str", "default": ""},
            "replaced": flag,
            "prove": {"type": "list", "elements": "str", "default": []},
            "listeners": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    asked = module.params
    places = Places(asked["home"], asked["unit"], asked["journal"], asked["user"])
    files = Files(module.atomic_move, check=module.check_mode)
    service = Service(asked["host"], places, runner(module), files)
    checked = json.loads(asked["checked"] or "{}")
    try:
        if asked["restart"]:
            service.restart()
            said = "The relay is restarted."
        else:
            said = service.match(Wanted(checked, asked["replaced"], asked["prove"], asked["listeners"]))
    except (CommandError, NotProvedError, OSError, RefusedError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(said), said=said)


if __name__ == "__main__":
    main()
