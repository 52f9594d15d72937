#!/usr/bin/python
"""Answers the questions of the role's plan: what only this host can find out, and only some runs need."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import CommandError, runner
from ansible.module_utils.fedmsg_relay_host.names import answering, own_names
from ansible.module_utils.fedmsg_relay_host.relay import Relay

DOCUMENTATION = """
module: fedmsg_relay_ask
short_description: Answer what a plan of the role fedmsg_relay asks of a host
description:
  - Finds out what only some runs need to know. Changes nothing, so it also runs in check mode.
  - Uses the program in use.
options:
  home: {description: The directory of the program., type: path, required: true}
  journal: {description: The path of the relay's journal., type: path, required: true}
  names: {description: Host names that may be this host's., type: list, elements: str, default: []}
  peers: {description: Addresses where a relay may answer., type: list, elements: str, default: []}
  port: {description: The port to connect to at O(peers)., type: int, required: true}
  waiting:
    description: Whether to count the messages that a stopped relay has not passed on.
    type: bool
    default: false
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Count the messages of a stopped relay
  fedmsg_relay_ask:
    home: /opt/fedmsg-relay
    journal: /var/lib/fedmsg-relay/journal.db
    port: 9941
    waiting: true
"""

RETURN = """
names: {description: The names that are this host's., type: list, returned: always}
peers: {description: The addresses where something accepts a connection., type: list, returned: always}
waiting:
  description: The number of messages that a stopped relay has taken and not passed on. It is 0 if nobody asked.
  type: int
  returned: always
"""


def main() -> None:
    """Run as Ansible's module."""
    path: dict[str, Any] = {"type": "path", "required": True}
    names: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        {
            "home": path,
            "journal": path,
            "names": names,
            "peers": names,
            "port": {"type": "int", "required": True},
            "waiting": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )

    asked = module.params
    relay = Relay(asked["home"], runner(module))
    try:
        waiting = relay.unsent(asked["journal"]) if asked["waiting"] else 0
    except CommandError as error:
        module.fail_json(msg=str(error))
    found = {"names": own_names(asked["names"]), "peers": answering(asked["peers"], asked["port"])}
    module.exit_json(changed=False, waiting=waiting, **found)


if __name__ == "__main__":
    main()
