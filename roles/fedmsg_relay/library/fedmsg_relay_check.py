#!/usr/bin/python
"""Lets the program check a new config before it is written, in one execution."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.candidate import Candidate, check, first_of
from ansible.module_utils.fedmsg_relay_host.command import answer_of, runner

DOCUMENTATION = """
module: fedmsg_relay_check
short_description: Check a new global config and new settings before they are written
description:
  - Runs C(check-config) of the program on the new files, merged with all other files of the config.
  - The new files are in a private temporary directory, which is removed afterwards.
  - Nothing else is written, so it also runs in check mode.
  - Does not fail if the program refuses the config.
options:
  programs:
    description: Paths of the program. The first that exists is used.
    type: list
    elements: str
    required: true
  config_file: {description: The path that the new global config will have., type: str, required: true}
  config: {description: The text of the new global config., type: str, required: true}
  moved_config: {description: The path that a config at O(config_file) has in future., type: str}
  settings_file: {description: The path that the new settings will have., type: str, required: true}
  settings: {description: The text of the new settings. Without it the config is checked for scripts only., type: str}
  named:
    description: Whether to read which relay the config names until then.
    type: bool
    default: false
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Check a config
  fedmsg_relay_check:
    programs: [/opt/fedmsg-relay/current/bin/fedmsg-relay]
    config_file: /etc/fedmsg.d/relay.py
    config: "{{ lookup('ansible.builtin.template', 'relay.py.j2') }}"
    settings_file: /etc/fedmsg-relay/relay.toml
"""

RETURN = """
program: {description: The program that was used. Empty if there is none., type: str, returned: always}
rc: {description: The exit code of the program., type: int, returned: always}
stdout: {description: Its answer as JSON., type: str, returned: always}
stderr: {description: The reason of a refusal., type: str, returned: always}
named:
  description: The lists of addresses that the config names until then. Empty if nobody asked, or if it names none.
  type: dict
  returned: always
"""


def main() -> None:
    """Run as Ansible's module."""
    text: dict[str, Any] = {"type": "str"}
    needed: dict[str, Any] = {"type": "str", "required": True}
    module = AnsibleModule(
        {
            "programs": {"type": "list", "elements": "str", "required": True},
            "config_file": needed,
            "config": needed,
            "moved_config": text,
            "settings_file": needed,
            "settings": text,
            "named": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )

    run = runner(module)
    program = first_of(module.params.pop("programs"))
    asked = module.params.pop("named")
    named = answer_of(run, [program, "endpoints", "--json"]) if program and asked else {}
    code, answer, reason = check(program, Candidate(**module.params), run) if program else (0, "", "")
    # Not failed: the role says why a config is refused.
    module.exit_json(failed=False, program=program, rc=code, stdout=answer, stderr=reason, named=named)


if __name__ == "__main__":
    main()
