#!/usr/bin/python
"""Keeps units running by what they read, in one execution."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import CommandError, must, runner
from ansible.module_utils.fedmsg_relay_host.units import DownError, keep_running, outdated, reload

DOCUMENTATION = """
module: fedmsg_relay_units
short_description: Keep units of systemd running by what they read
description:
  - Enables and starts units, and restarts units that were started before a file was written.
  - Or lets units that run read a changed config anew.
  - Supports check mode.
options:
  units: {description: Names of units., type: list, elements: str, required: true}
  files: {description: The files that they read when they start., type: list, elements: path, default: []}
  config:
    description:
      - A config. Units that run and have read another state of it are reloaded.
      - A unit that cannot reload is restarted. Nothing else is done then.
    type: str
    default: ""
  written: {description: Whether the config was written just now or would be., type: bool, default: false}
  daemon_reload:
    description: Whether files of units were written that systemd has to read first.
    type: bool
    default: false
  complaint: {description: The text before the journal of a unit that does not start., type: str, default: ""}
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Let services read the new config
  fedmsg_relay_units:
    units: [fedmsg-gateway.service]
    config: /etc/fedmsg.d/relay.py
"""

RETURN = """
units: {description: The units that were changed or would be., type: list, elements: str, returned: always}
"""


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        {
            "units": {"type": "list", "elements": "str", "required": True},
            "files": {"type": "list", "elements": "path", "default": []},
            "config": {"type": "str", "default": ""},
            "written": {"type": "bool", "default": False},
            "daemon_reload": {"type": "bool", "default": False},
            "complaint": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    asked: dict[str, Any] = module.params
    run = runner(module)
    try:
        if asked["config"]:
            done = outdated(asked["units"], asked["config"], run, written=asked["written"])
            if done and not module.check_mode:
                reload(done, run)
        else:
            if asked["daemon_reload"] and not module.check_mode:
                must(run, ["systemctl", "daemon-reload"])
            done = keep_running(asked["units"], asked["files"], run, check=module.check_mode)
    except CommandError as error:
        module.fail_json(msg=str(error))
    except DownError as error:
        module.fail_json(msg=f"{asked['complaint']}\n{error}".strip())
    module.exit_json(changed=bool(done), units=done)


if __name__ == "__main__":
    main()
