"""Gives the module of the same name what it needs of the controller's files: digests to compare, contents to write.

The contents go to the module and nowhere else: not through templates, and not into a result.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

OPTIONS = ("directory", "manifest", "header", "backups", "files", "drop", "kept", "compare", "source")
TOLD = ("changed", "changed_paths", "diff", "differ", "foreign", "unknown", "dropped", "msg", "failed", "unreachable")
"""What the result may hold; the rest may show how the module was called."""


class ActionModule(ActionBase):
    """What Ansible loads."""

    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Read the files on the controller and run the module.

        Args:
            tmp: not used any more.
            task_vars: the variables of the host.

        Returns:
            The module's result.
        """
        super().run(tmp, task_vars)
        options = dict(self._task.args)
        if unknown := sorted(set(options) - set(OPTIONS)):
            return {"failed": True, "msg": f"unknown options: {', '.join(unknown)}"}
        source = options.pop("source", "")
        compare = bool(options.get("compare", False))
        try:
            files = list(options.pop("files", None) or ())
            contents = {one["name"]: self._content(source, one["name"]) for one in files}
        except UnicodeError:  # which shows a part of the file
            return {"failed": True, "msg": f"a file in {source} is not PEM"}
        except (AnsibleError, OSError) as error:
            return {"failed": True, "msg": f"a file in {source} cannot be read: {str(error).splitlines()[0]}"}
        digests = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in contents.items()}
        arguments = {
            **options,
            "source": source,
            "files": [{**one, "sha256": digests[one["name"]]} for one in files],
            "contents": {} if compare else contents,
        }
        result = self._execute_module("fedmsg_relay_keys", module_args=arguments, task_vars=task_vars)
        told: dict[str, Any] = {key: result[key] for key in TOLD if key in result}
        return told

    def _content(self, source: str, name: str) -> str:
        content = str(self._loader.get_text_file_contents(str(Path(self._loader.path_dwim(source), name))))
        content.encode()  # a UnicodeError where it is not text
        return content
