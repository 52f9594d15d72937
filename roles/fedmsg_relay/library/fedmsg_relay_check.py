#!/usr/bin/python
"""Lets the program check a new config before it is written, in one execution."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

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
"""

Ran = tuple[int, str, str]
Run = Callable[[list[str]], Ran]


@dataclass(frozen=True)
class Candidate:
    """A new config and new settings, and the paths that they will have."""

    config_file: str
    config: str
    settings_file: str
    settings: str | None = None
    moved_config: str | None = None


def first_of(programs: list[str]) -> str:
    """Find the program.

    Args:
        programs: paths where it may be.

    Returns:
        The first path that exists; empty if there is none.
    """
    return next((path for path in programs if Path(path).exists()), "")


def check(program: str, candidate: Candidate, run: Run) -> Ran:
    """Let the program check a candidate.

    Args:
        program: the path of the program.
        candidate: what would be written.
        run: runs a command.

    Returns:
        The program's exit code, answer and reason. They name the paths that the files will have.
    """
    with tempfile.TemporaryDirectory(prefix="fedmsg-relay-") as directory:
        config = Path(directory, "relay.py")
        config.write_text(candidate.config, encoding="utf-8")
        arguments = [f"--stand-in={config}={candidate.config_file}"]
        if candidate.moved_config is not None:
            arguments.append(f"--stand-in={candidate.config_file}={candidate.moved_config}")
        settings = Path(directory, "relay.toml")
        if candidate.settings is None:
            arguments.append("--scripts")
        else:
            settings.write_text(candidate.settings, encoding="utf-8")
            arguments.append(f"--settings={settings}")
        code, answer, reason = run([program, "check-config", "--json", *arguments])
    return code, answer, reason.replace(str(settings), candidate.settings_file)


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
        },
        supports_check_mode=True,
    )

    def run(command: list[str]) -> Ran:
        ran: Ran = module.run_command(command, cwd="/", expand_user_and_vars=False)
        return ran

    program = first_of(module.params.pop("programs"))
    code, answer, reason = check(program, Candidate(**module.params), run) if program else (0, "", "")
    # Not failed: the role says why a config is refused.
    module.exit_json(failed=False, program=program, rc=code, stdout=answer, stderr=reason)


if __name__ == "__main__":
    main()
