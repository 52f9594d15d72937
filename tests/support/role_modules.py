"""The role's modules as Python modules. What they share they import as Ansible has it on a host."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import ansible.module_utils

ROLE = Path(__file__).parents[2] / "roles/fedmsg_relay"
if str(ROLE / "module_utils") not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(ROLE / "module_utils"))

MODULES = [import_module(path.stem) for path in sorted((ROLE / "library").glob("*.py"))]
