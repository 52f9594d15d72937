#!/usr/bin/python
"""Brings keys, certificates, CA and CRL to a host, and removes files that it brought before and that are dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fedmsg_relay_host.files import RefusedError
from ansible.module_utils.fedmsg_relay_host.keys import Item, Keys, Places

DOCUMENTATION = """
module: fedmsg_relay_keys
short_description: Bring keys and certificates to a host
description:
  - Brings the files of a directory to the wanted content, owner, group and mode, and touches only those that differ.
  - All new files are written beside the old ones. Then they are renamed, one right after the other in the list's order.
  - A manifest on the host says which files the module has written. It removes no other file.
  - Supports check mode and diff mode. No result, diff or log shows any content.
  - The action of this name reads the files on the controller and adds digests and contents.
options:
  directory: {description: Where the files go., type: path, required: true}
  manifest: {description: The path of the manifest., type: path, required: true}
  header: {description: The first line of the manifest., type: str, default: ""}
  backups: {description: Where copies of others' replaced files go., type: path, default: /var/backups}
  source: {description: Where the files come from, for the diff., type: str, default: ""}
  compare: {description: Whether to report only. Needs no content., type: bool, default: false}
  drop: {description: Whether to remove unwanted files that the manifest lists., type: bool, default: false}
  files:
    description: The wanted files.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: The name in O(directory)., type: str, required: true}
      owner: {description: The name of the owning user., type: str, required: true}
      group: {description: The name of the owning group., type: str, required: true}
      mode: {description: The mode in octal digits., type: str, required: true}
      sha256: {description: The digest of the content., type: str, required: true}
  # An option of its own, because Ansible leaves no option of an option out of the systemd journal.
  contents: {description: The contents by the names of the files., type: dict, default: {}}
author: [the authors of fedmsg-relay]
"""

EXAMPLES = """
- name: Bring the CA
  fedmsg_relay_keys:
    directory: /etc/pki/fedmsg
    manifest: /etc/fedmsg-relay/keys
    header: "# Written by Ansible."
    backups: /var/backups/fedmsg-relay
    source: /srv/keys
    files: [{name: ca.crt, owner: root, group: root, mode: "0644"}]
"""

RETURN = """
changed_paths: {description: The paths that changed or would change., type: list, returned: unless compared}
differ: {description: The paths that differ from what is wanted., type: list, returned: if compared}
dropped: {description: The paths of the manifest that are not wanted., type: list, returned: if compared}
foreign: {description: The paths that differ and that others have written., type: list, returned: if compared}
unknown: {description: The users and groups that do not exist., type: list, returned: if compared}
"""


def main() -> None:
    """Run as Ansible's module."""
    path: dict[str, Any] = {"type": "path", "required": True}
    text: dict[str, Any] = {"type": "str", "required": True}
    flag: dict[str, Any] = {"type": "bool", "default": False}
    suboptions = {
        "name": text,
        "owner": text,
        "group": text,
        "mode": text,
        "sha256": {**text, "no_log": False},
    }
    module = AnsibleModule(
        {
            "directory": path,
            "manifest": path,
            "header": {"type": "str", "default": ""},
            "backups": {"type": "path", "default": "/var/backups"},
            "source": {"type": "str", "default": ""},
            "compare": flag,
            "drop": flag,
            "files": {"type": "list", "elements": "dict", "default": [], "options": suboptions},
            "contents": {"type": "dict", "default": {}, "no_log": True},
        },
        supports_check_mode=True,
    )
    options = module.params
    places = Places(
        Path(options["directory"]),
        Path(options["manifest"]),
        options["header"],
        Path(options["backups"]),
        options["source"],
    )
    keys = Keys(
        places,
        [Item(**one, content=options["contents"].get(one["name"])) for one in options["files"]],
        check=module.check_mode,
    )
    try:
        if options["compare"]:
            module.exit_json(changed=False, **keys.compare())
        diffs = keys.bring() + (keys.drop() if options["drop"] else [])
    except (OSError, RefusedError) as error:
        module.fail_json(msg=str(error))
    changed = [diff["after"]["path"] for diff in diffs]
    module.exit_json(changed=bool(diffs), changed_paths=changed, **({"diff": diffs} if module._diff else {}))


if __name__ == "__main__":
    main()
