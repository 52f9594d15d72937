"""Runs commands on a host."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Ran = tuple[int, str, str]
"""Exit code, output, and what the command said on its standard error."""

Run = Callable[[list[str]], Ran]
"""Runs a command. It raises OSError if there is none."""

NOT_FOUND = 127


class CommandError(Exception):
    """A command that has to work and does not."""


def runner(module: Any) -> Run:
    """Let Ansible run commands.

    Args:
        module: the running ``AnsibleModule``.

    Returns:
        What runs a command, in the directory ``/``.
    """

    def run(command: list[str]) -> Ran:
        ran: Ran = module.run_command(command, cwd="/", expand_user_and_vars=False, handle_exceptions=False)
        return ran

    return run


def attempt(run: Run, command: list[str]) -> Ran:
    """Run a command that may fail, or may not be there.

    Args:
        run: runs it.
        command: its words.

    Returns:
        What became of it; the exit code 127 if there is none.
    """
    try:
        return run(command)
    except OSError as error:
        return NOT_FOUND, "", f"{command[0]}: {error.strerror}"


def must(run: Run, command: list[str], *accepted: int) -> str:
    """Run a command that has to work.

    Args:
        run: runs it.
        command: its words.
        *accepted: exit codes of success; 0 if none is given.

    Returns:
        Its output.

    Raises:
        CommandError: it ended with another exit code.
    """
    code, answer, reason = attempt(run, command)
    if code not in (accepted or (0,)):
        raise CommandError(f"{' '.join(command)}: {reason.strip() or answer.strip() or f'exit code {code}'}")
    return answer


def answer_of(run: Run, command: list[str]) -> dict[str, Any]:
    """Run a command that answers with a JSON object.

    Args:
        run: runs it.
        command: its words.

    Returns:
        The object; empty if there is none.
    """
    try:
        told = json.loads(attempt(run, command)[1])
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
