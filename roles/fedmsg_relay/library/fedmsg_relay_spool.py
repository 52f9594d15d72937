#!/usr/bin/python
"""Delivers what waits on a host before the program goes, and counts what still waits, in one execution."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import runner
from ansible.module_utils.fedmsg_relay_host.relay import Relay
from ansible.module_utils.fedmsg_relay_host.spool import deliver, messages, passed_on

DOCUMENTATION = """
module: fedmsg_relay_spool
short_description: Deliver what waits on a host
description:
  - Delivers the spool, and waits for some seconds until a relay here has passed on all its messages.
  - In check mode it only counts.
options:
  home: {description: The directory of the program., type: path, required: true}
  spool: {description: The directory of the spool., type: path, required: true}
  relay: {description: Whether a relay of the role is here., type: bool, required: true}
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Deliver what waits
  fedmsg_relay_spool: {home: /opt/fedmsg-relay, spool: /var/spool/fedmsg-relay, relay: false}
"""

RETURN = """
spooled: {description: The number of messages that wait in the spool., type: int, returned: always}
unsent: {description: The number of messages that wait on the relay., type: int, returned: always}
"""


def main() -> None:
    """Run as Ansible's module."""
    path: dict[str, Any] = {"type": "path", "required": True}
    module = AnsibleModule(
        {
            "home": path,
            "spool": path,
            "relay": {"type": "bool", "required": True},
        },
        supports_check_mode=True,
    )
    asked, run = module.params, runner(module)
    relay = Relay(asked["home"], run)
    before = messages(asked["spool"])
    left = before if module.check_mode else deliver(asked["spool"], run)
    unsent = passed_on(relay) if asked["relay"] else 0
    module.exit_json(changed=left != before, spooled=left, unsent=unsent)


if __name__ == "__main__":
    main()
