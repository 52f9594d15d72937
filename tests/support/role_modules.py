"""The role's modules as Python modules. What they share they import as Ansible has it on a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import ansible.module_utils

ROLE = Path(__file__).parents[2] / "roles/fedmsg_relay"
if str(ROLE / "module_utils") not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(ROLE / "module_utils"))

MODULES = [import_module(path.stem) for path in sorted((ROLE / "library").glob("*.py"))]


def run_by_ansible(module: str, parameters: Mapping[str, object], *arguments: str) -> str:
    """What Ansible says that a module of the role has done on this machine."""
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ansible")), "localhost", "--connection=local", *arguments),
            *(f"--module-name={module}", f"--args={json.dumps(parameters)}"),
        ],
        env={
            **os.environ,
            "ANSIBLE_LIBRARY": str(ROLE / "library"),
            "ANSIBLE_MODULE_UTILS": str(ROLE / "module_utils"),
            "ANSIBLE_NOCOLOR": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr
