#!/usr/bin/python
"""Installs a release of the program from wheels, in one execution."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.command import CommandError, runner
from ansible.module_utils.fedmsg_relay_host.release import Release, install

DOCUMENTATION = """
module: fedmsg_relay_release
short_description: Install a release of the program fedmsg-relay, or an extra of one
description:
  - Makes a venv and installs the wheels that the controller brought. It fetches nothing.
  - A release that is not complete is installed anew. In check mode it says whether it would install.
options:
  path: {description: The directory of the release., type: path, required: true}
  wheels: {description: The directory of its wheels. Its parent is removed afterwards., type: path, required: true}
  python: {description: The Python for the venv., type: path, required: true}
  extra: {description: The extra to add. Empty for the program itself., type: str, default: ""}
  importable:
    description: Patterns of the modules that scripts on the host import.
    type: list
    elements: str
    default: []
  site:
    description: The name of the directory where the host's own Python looks for path files.
    type: str
    default: dist-packages
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Install a release
  fedmsg_relay_release:
    path: /opt/fedmsg-relay/releases/0.1.0+0123456789.py311
    wheels: /opt/fedmsg-relay/wheels/0.1.0+0123456789.py311
    python: /usr/bin/python3
    importable: [fedmsg_relay, zmq]
"""

RETURN = """# nothing more"""


def main() -> None:
    """Run as Ansible's module."""
    path: dict[str, Any] = {"type": "path", "required": True}
    module = AnsibleModule(
        {
            "path": path,
            "wheels": path,
            "python": path,
            "extra": {"type": "str", "default": ""},
            "importable": {"type": "list", "elements": "str", "default": []},
            "site": {"type": "str", "default": "dist-packages"},
        },
        supports_check_mode=True,
    )
    release = Release(**module.params)
    missing = not release.mark.exists()
    try:
        if missing and not module.check_mode:
            install(release, runner(module))
    except (CommandError, OSError) as error:
        module.fail_json(msg=f"{release.path} cannot be installed: {error}")
    module.exit_json(changed=missing)


if __name__ == "__main__":
    main()
