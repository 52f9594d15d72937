#!/usr/bin/python
"""Reads everything that the role judges a host by, in one execution."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import CommandError, runner
from ansible.module_utils.fedmsg_relay_host.installation import READ, Places
from ansible.module_utils.fedmsg_relay_host.look import ASK, look

DOCUMENTATION = """
module: fedmsg_relay_look
short_description: Read everything that the role fedmsg_relay judges a host by
description: Reads the state of a host in one execution. Changes nothing, so it also runs in check mode.
options:
  gather:
    description:
      - The subsets to read. Each is a key of the result.
      - Without any it is all but C(endpoints) and C(spooled).
    type: list
    elements: str
    choices:
      - account
      - addresses
      - bridge
      - config
      - configured
      - contents
      - endpoints
      - files
      - hostname
      - ports
      - processes
      - pythons
      - releases
      - service
      - spool
      - spooled
      - status
      - web
      - written
    default: []
  home: {description: The directory of the program., type: path, required: true}
  marker: {description: The beginning of a line that every file of the role has., type: str, required: true}
  files: {description: The paths of files that the role writes., type: list, elements: path, required: true}
  patterns: {description: Patterns of more such paths., type: list, elements: str, required: true}
  commands: {description: The paths of links that the role makes., type: list, elements: path, required: true}
  contents: {description: The files to read., type: list, elements: path, required: true}
  config: {description: The path of the global config., type: path, required: true}
  unit: {description: The path of the relay's unit., type: path, required: true}
  web_unit: {description: The path of the web process's unit., type: path, required: true}
  bridge_unit: {description: The path of the bridge's unit., type: path, required: true}
  bridge_settings: {description: The path of the bridge's settings., type: path, required: true}
  settings: {description: The path of the relay's settings., type: path, required: true}
  spool_units: {description: The names of the units that deliver the spool., type: list, elements: str, required: true}
  pythons: {description: Paths of Pythons that the program may use., type: list, elements: path, required: true}
  user: {description: The name of the relay's user and group., type: str, required: true}
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Ask the relay, and look for processes of relays
  fedmsg_relay_look: "{{ places | combine({'gather': ['status', 'processes']}) }}"
"""

RETURN = """
account:
  description: Whether the C(user) and the C(group) exist.
  type: dict
  returned: if gathered
addresses:
  description: The IP addresses of the host.
  type: list
  returned: if gathered
bridge:
  description:
    - Whether systemd knows the unit of the bridge (C(loaded)), and whether it runs and starts at boot (C(ready)).
    - C(outdated) if its program, its unit or its settings are newer than the process.
    - C(rc) and C(summary) are the answer of C(fedmsg-relay bridge status). The summary is empty without a unit.
  type: dict
  returned: if gathered
config:
  description:
    - C(inbound) are the addresses of relays in the global config, as Python executes it.
    - C(error) is the reason why it cannot be executed. It is empty if it can, or is not there.
  type: dict
  returned: if gathered
configured:
  description: When the global config was written, in seconds since the epoch; 0 if it is not there.
  type: int
  returned: if gathered
contents:
  description: The content of each file in Base64. It is empty if the file cannot be read.
  type: dict
  returned: if gathered
endpoints:
  description: The answer of the command C(endpoints) about the merged config, C(stdout) and C(stderr).
  type: dict
  returned: if gathered
files:
  description: The paths that are there. C(ours) are those of the role and C(foreign) all others.
  type: dict
  returned: if gathered
hostname:
  description: The host's own name.
  type: str
  returned: if gathered
ports:
  description: For each listening TCP port the port, and where known the process and its pid.
  type: list
  returned: if gathered
processes:
  description: The pids of relays, whoever started them.
  type: list
  returned: if gathered
pythons:
  description: For each Python that is there its version, such as 3.11.
  type: dict
  returned: if gathered
releases:
  description:
    - The C(current) link, and the releases C(present), C(complete) and C(used), the newest first.
    - C(web) and C(bridge) are the releases that have the libraries of these processes.
    - C(home) tells whether the directory of the program exists.
  type: dict
  returned: if gathered
service:
  description: The state of the relay's unit, from systemd.
  type: dict
  returned: if gathered
spool:
  description: Whether all units of the spool are C(present), and the names of the units that are C(unready).
  type: dict
  returned: if gathered
spooled:
  description: The answer of the command C(spool ls) as JSON. It is empty if the program does not run.
  type: str
  returned: if gathered
status:
  description: The relay's C(answer), empty if there is none, with C(rc) and C(stderr) of the command.
  type: dict
  returned: if gathered
web:
  description:
    - Whether systemd knows the unit of the web process (C(loaded)), and whether it runs and starts at boot (C(ready)).
    - C(outdated) if its program, its unit or the relay's settings are newer than the process.
  type: dict
  returned: if gathered
written:
  description: When the newer of the unit and the current link was written, in seconds since the epoch.
  type: int
  returned: if gathered
"""


def main() -> None:
    """Run as Ansible's module."""
    path: dict[str, Any] = {"type": "path", "required": True}
    paths: dict[str, Any] = {"type": "list", "elements": "path", "required": True}
    names: dict[str, Any] = {"type": "list", "elements": "str", "required": True}
    module = AnsibleModule(
        {
            "gather": {"type": "list", "elements": "str", "default": [], "choices": sorted([*READ, *ASK])},
            "home": path,
            "marker": {"type": "str", "required": True},
            "files": paths,
            "patterns": names,
            "commands": paths,
            "contents": paths,
            "config": path,
            "unit": path,
            "web_unit": path,
            "bridge_unit": path,
            "bridge_settings": path,
            "settings": path,
            "spool_units": names,
            "pythons": paths,
            "user": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )

    gather = module.params.pop("gather")
    try:
        found = look(gather, Places(**module.params), runner(module))
    except CommandError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
