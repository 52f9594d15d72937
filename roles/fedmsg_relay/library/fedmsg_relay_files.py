#!/usr/bin/python
"""Brings files, directories and links of a host to the wanted state, all in one execution."""

from __future__ import annotations

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.files import Files, Item, RefusedError

DOCUMENTATION = """
module: fedmsg_relay_files
short_description: Bring files, directories and links to the wanted state in one execution
description:
  - Does the work of C(copy) with C(content) and of C(file) for a list of paths, in the order of the list.
  - It stops at the first path that it has to refuse.
  - Supports check mode, in which each path is compared with what is there before the run. Supports diff mode.
options:
  files:
    description: The paths and their wanted states.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: The absolute path., type: str, required: true}
      state:
        description:
          - C(file) is a file with O(files[].content). A link in its place is replaced, not followed.
          - C(directory) is a directory. Missing parents are created with the same owner, group and mode.
          - C(link) is a symbolic link to O(files[].src).
        type: str
        choices: [file, directory, link]
        required: true
      content: {description: The text of a file., type: str}
      src: {description: The target of a link., type: str}
      owner: {description: The name of the owning user. Not for links., type: str, default: root}
      group: {description: The name of the owning group. Not for links., type: str, default: root}
      mode:
        description: The mode in octal digits. Not for links. By default C(0644) for a file and C(0755) for a directory.
        type: str
      follow: {description: Accept a link to a directory as the directory., type: bool, default: true}
      force: {description: Let a link replace a file and point to nothing., type: bool, default: false}
      only_new: {description: Leave a directory that is there as it is., type: bool, default: false}
  copies:
    description: Files to copy before that, with all attributes. A source that is not there is left out.
    type: list
    elements: dict
    default: []
    suboptions:
      src: {description: A file or a link., type: str, required: true}
      dest: {description: The path of the copy., type: str, required: true}
  absent:
    description: Paths to remove after that. A directory is removed with all it holds.
    type: list
    elements: str
    default: []
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Write a file and link a command
  fedmsg_relay_files:
    files:
      - {path: /etc/x, state: file, content: "text\\n"}
      - {path: /usr/local/bin/x, state: link, src: /opt/x/bin/x}
"""

RETURN = """
changed_paths:
  description: The paths that changed, or would change.
  type: list
  elements: str
  returned: always
"""


def main() -> None:
    """Run as Ansible's module."""
    flag = {"type": "bool", "default": False}
    text: dict[str, Any] = {"type": "str", "required": True}
    options = {
        "path": {"type": "str", "required": True},
        "state": {"type": "str", "required": True, "choices": ["file", "directory", "link"]},
        "content": {"type": "str"},
        "src": {"type": "str"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str"},
        "follow": {"type": "bool", "default": True},
        "force": flag,
        "only_new": flag,
    }
    needed = [("state", "file", ["content"]), ("state", "link", ["src"])]
    files_option = {"type": "list", "elements": "dict", "default": [], "options": options, "required_if": needed}
    module = AnsibleModule(
        {
            "files": files_option,
            "copies": {"type": "list", "elements": "dict", "default": [], "options": {"src": text, "dest": text}},
            "absent": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    files = Files(module.atomic_move, check=module.check_mode)
    paths: list[str] = []
    diffs: list[dict[str, Any]] = []
    copies = [(one["dest"], partial(files.copy, one["src"], one["dest"])) for one in module.params["copies"]]
    items = [Item(**parameters) for parameters in module.params["files"]]
    brought = [(item.path, partial(files.bring, item)) for item in items]
    removed = [(path, partial(files.remove, path)) for path in module.params["absent"]]
    for path, change in [*copies, *brought, *removed]:
        try:
            found = change()
        except (OSError, RefusedError) as error:
            module.fail_json(msg=str(error), changed=bool(paths), changed_paths=paths)
        if found and path not in paths:
            paths.append(path)
        diffs += found
    module.exit_json(changed=bool(paths), changed_paths=paths, **({"diff": diffs} if module._diff else {}))


if __name__ == "__main__":
    main()
