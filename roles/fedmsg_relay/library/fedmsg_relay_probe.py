#!/usr/bin/python
"""Sends a real message through each of some relays, and waits until it comes out, in one execution."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import runner
from ansible.module_utils.fedmsg_relay_host.reach import unreachable
from ansible.module_utils.fedmsg_relay_host.relay import Relay

DOCUMENTATION = """
module: fedmsg_relay_probe
short_description: Send a message through relays
description:
  - Sends a message into each relay from this host, and fails unless it comes out.
  - In check mode it sends nothing.
options:
  home: {description: The directory of the program., type: path, required: true}
  ways:
    description: For each relay the address where a message goes in, and then the addresses where it has to come out.
    type: list
    elements: list
    required: true
  joined:
    description: Whether to wait until the relay here has joined its upstream, and to fail if it does not.
    type: bool
    default: false
  unless_pid:
    description: The process of the relay here if it has handed over before. It is left alone.
    type: int
    default: 0
  reach:
    description: Pairs of a key of the global config and an address that has to be reached too.
    type: list
    elements: list
    default: []
  complaint:
    description: The message if it fails. C({reason}) stands for the fault.
    type: str
    default: "{reason}"
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Prove a relay
  fedmsg_relay_probe:
    home: /opt/fedmsg-relay
    ways: [["tcp://app01:9941", "tcp://app01:3999"]]
"""

RETURN = """
sent: {description: The number of messages., type: int, returned: always}
"""

JOIN_SECONDS = 20


def waits_to_join(relay: Relay) -> bool:
    """Wait until a relay has joined its upstream.

    Args:
        relay: the relay.

    Returns:
        Whether it still has not.
    """
    for attempts in range(JOIN_SECONDS + 1):
        if attempts:
            time.sleep(1)
        states = (relay.status().get("upstream") or {}).get("states") or []
        if set(states) == {"joined"}:
            return False
    return True


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        {
            "home": {"type": "path", "required": True},
            "ways": {"type": "list", "elements": "list", "required": True},
            "joined": {"type": "bool", "default": False},
            "unless_pid": {"type": "int", "default": 0},
            "reach": {"type": "list", "elements": "list", "default": []},
            "complaint": {"type": "str", "default": "{reason}"},
        },
        supports_check_mode=True,
    )
    asked: dict[str, Any] = module.params
    if module.check_mode:
        module.exit_json(changed=False, sent=0)
    run = runner(module)
    relay = Relay(asked["home"], run)
    if asked["joined"] and waits_to_join(relay):
        module.fail_json(msg=f"the relay here has not joined its upstream within {JOIN_SECONDS} s")
    if asked["unless_pid"] and (relay.status().get("relay") or {}).get("pid") == asked["unless_pid"]:
        module.exit_json(changed=False, sent=0)
    reasons = (relay.probe(way[:1], way[1:]) for way in asked["ways"])
    reason = next(filter(None, reasons), "") or unreachable("", asked["reach"], run)
    if reason:
        module.fail_json(msg=asked["complaint"].replace("{reason}", reason))
    module.exit_json(changed=False, sent=len(asked["ways"]))


if __name__ == "__main__":
    main()
