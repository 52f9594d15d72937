"""Load all filters and tests of a play before Ansible forks.

Ansible itself loads them in the process of each task on each host, and the role's filters import the whole plan.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import filter_loader, test_loader


class CallbackModule(CallbackBase):
    """What Ansible loads, as it is in a directory of `callback_plugins`."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "loaded_once"

    def v2_playbook_on_play_start(self, play: Any) -> None:  # noqa: ARG002 - Ansible's interface
        """Load them: the directories of the play's roles are known now."""
        for loader in (filter_loader, test_loader):
            list(loader.all())
