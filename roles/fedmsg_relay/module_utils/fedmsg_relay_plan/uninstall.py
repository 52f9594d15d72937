"""Refuses to uninstall what others still need. Each guard returns a sentence, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

AGAIN = "run again with -e fedmsg_relay_abandon_spool=true."


def named_by(answers: Iterable[Mapping[str, Any]], host: str) -> str:
    """No host outside the run names a relay that is removed, as a filter.

    Args:
        answers: of ``grep`` on those hosts: ``item``, the host, ``rc`` and ``stdout_lines``. It ends with 1 if it
            finds nothing, and with 2 if there is no config.
        host: the relay's.

    Returns:
        A sentence; empty if none does.
    """
    for answer in answers:
        if answer.get("skipped"):  # no relay is removed from this host
            continue
        code, asked = answer.get("rc", -1), answer["item"]
        if code not in {1, 2}:
            fault = (
                f"{asked} names the relay of {host} in {', '.join(answer['stdout_lines'])}"
                if code == 0
                else f"{asked} cannot be asked whether it names the relay of {host}"
            )
            return (
                f"{fault}. Move the relay first (playbooks/relay.yml), or include {asked} in this run. Nothing was "
                "changed."
            )
    return ""


def unsent(found: Mapping[str, Any], host: str, spool: str, backups: str, *, dry: bool) -> str:
    """No message that waits is given up, as a filter.

    Args:
        found: what ``fedmsg_relay_spool`` found: ``spooled`` and ``unsent``.
        host: where it was.
        spool: the directory of the spool.
        backups: where messages are kept.
        dry: whether the spool was not delivered because nothing was to be changed.

    Returns:
        A sentence; empty if none waits.
    """
    if found["spooled"] and not dry:
        return (
            f"{found['spooled']} messages wait in {spool} of {host}, and no relay takes them (`journalctl -u "
            f"fedmsg-relay-spool` says why). To go on and keep the messages in {backups}, {AGAIN} Nothing was removed."
        )
    if found["unsent"]:
        return (
            f"{found['unsent']} messages wait on the relay of {host} to be passed on (`fedmsg-relay status` says why). "
            f"To go on and keep its journal in {backups}, {AGAIN} Nothing was removed."
        )
    return ""
