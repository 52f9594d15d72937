#!/usr/bin/python
"""Finds out which endpoints of relays a host reaches, in one execution."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import runner
from ansible.module_utils.fedmsg_relay_host.reach import unreachable

DOCUMENTATION = """
module: fedmsg_relay_reach
short_description: Connect to endpoints of relays
description:
  - Connects up to ZeroMQ's greeting, so it also notices a peer that accepts the connection and says nothing.
  - Changes nothing, so it also runs in check mode. Does not fail.
options:
  program: {description: The command C(fedmsg-relay). Without it this module connects itself., type: str, default: ""}
  endpoints:
    description: Pairs of a key of the global config, such as C(relay_submit), and an address.
    type: list
    elements: list
    required: true
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: See whether this host reaches a relay
  fedmsg_relay_reach:
    endpoints: [[relay_submit, "tcp://app01:9942"]]
"""

RETURN = """
not_reached: {description: The endpoints that are not reached, and why. Empty if all are., type: str, returned: always}
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        {
            "program": {"type": "str", "default": ""},
            "endpoints": {"type": "list", "elements": "list", "required": True},
        },
        supports_check_mode=True,
    )
    asked = module.params
    module.exit_json(changed=False, not_reached=unreachable(asked["program"], asked["endpoints"], runner(module)))


if __name__ == "__main__":
    main()
