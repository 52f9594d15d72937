#!/usr/bin/python
"""Waits until a relay, or old addresses of one, are unused, in one execution."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import runner
from ansible.module_utils.fedmsg_relay_host.disuse import wait
from ansible.module_utils.fedmsg_relay_host.relay import Relay

DOCUMENTATION = """
module: fedmsg_relay_disuse
short_description: Wait until a relay or some of its addresses are unused
description:
  - Asks the relay how it is until it is unused, or the time is over. Changes nothing, so it also runs in check mode.
options:
  home: {description: The directory of the program., type: path, required: true}
  grace: {description: Time in seconds for which it must have been unused., type: int, required: true}
  wait: {description: Maximum time in seconds to wait., type: int, default: 0}
  addresses:
    description: Lists of the addresses by endpoint that are to be unused. Without any it is the whole relay.
    type: dict
    default: {}
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Wait until nobody uses the relay
  fedmsg_relay_disuse: {home: /opt/fedmsg-relay, grace: 300, wait: 600}
"""

RETURN = """
status: {description: The last answer of the relay. Empty if it does not answer., type: dict, returned: always}
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        {
            "home": {"type": "path", "required": True},
            "grace": {"type": "int", "required": True},
            "wait": {"type": "int", "default": 0},
            "addresses": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    asked = module.params
    relay = Relay(asked["home"], runner(module))
    module.exit_json(changed=False, status=wait(relay, asked["grace"], asked["wait"], asked["addresses"]))


if __name__ == "__main__":
    main()
