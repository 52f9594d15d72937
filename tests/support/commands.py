"""Which commands of the system a file calls: read from Python, shell, and the plays that molecule runs here."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

WRAPPERS = {
    "chroot",
    "env",
    "exec",
    "faketime",
    "flock",
    "nice",
    "setpriv",
    "setsid",
    "sh",
    "bash",
    "timeout",
    "unshare",
}
"""What follows these is a command as well."""
CALLS = {"run", "start", "piped", "Popen", "check_output", "check_call", "which", "logged", "popen", "execvp"}
COMMAND_TASKS = ("command", "shell", "ansible.builtin.command", "ansible.builtin.shell")
# A word in the place of a command: first of a line or after an operator, but for words of the syntax and assignments.
OPERATOR = r"(?:^|[;|&({`!]|\$\()"
SYNTAX = r"(?:(?:then|do|else|if|while|until|exec|nice|setsid|command -v|!)\s+|\w+=[^\s$`]*\s+)*"
OPENING = re.compile(rf"{OPERATOR}\s*{SYNTAX}([\w./+-]+)(?![\w=])", re.MULTILINE)
A_PATH = re.compile(r"(?:/usr)?/s?bin/[\w.+-]+")


@cache
def of_file(path: Path) -> set[str]:
    """The words in the place of a command; some are not commands, such as our own subcommands."""
    text = path.read_text()
    if path.suffix == ".py":
        return {Path(word).name for word in in_python(ast.parse(text))}
    if path.suffix == ".yml":
        return {Path(word).name for word in in_plays(yaml.safe_load(text))}
    return {Path(word).name for word in in_shell(text)}


def in_shell(text: str) -> set[str]:
    text = re.sub(r"(^|\s)#.*$|'[^']*'|\$\(\(.*?\)\)|\$\{[^}]*\}", " ", text.replace("\\\n", " "), flags=re.MULTILINE)
    return set(OPENING.findall(text))


def in_python(tree: ast.Module) -> Iterator[str]:
    assigned: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                assigned.setdefault(ast.unparse(target), []).append(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in CALLS:
            for argument in (node.args, node.args[1:]):  # logged() has the log before the command
                yield from in_words(list(words(argument, assigned)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and A_PATH.fullmatch(node.value):
            yield node.value


def words(arguments: list[ast.expr], assigned: dict[str, list[ast.expr]]) -> Iterator[str]:
    """The words of a command line, as far as they stand in the file; one that does not is empty."""
    for argument in arguments:
        if isinstance(argument, ast.Starred):
            yield from words([argument.value], assigned)
        elif isinstance(argument, ast.List | ast.Tuple):
            yield from words(argument.elts, assigned)
        elif isinstance(argument, ast.Name) and argument.id in assigned:
            values = assigned[argument.id]
            yield from words(values, {name: value for name, value in assigned.items() if name != argument.id})
        elif isinstance(argument, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in argument.values)
        else:
            yield str(argument.value) if isinstance(argument, ast.Constant) else ""


def in_words(line: list[str]) -> Iterator[str]:
    """The command of a command line, what it wraps, and what a shell is given to run."""
    if not line:
        return
    yield line[0]
    if Path(line[0]).name in WRAPPERS:
        yield from line[1:]
        if "-c" in line[:-1]:
            yield from in_shell(line[line.index("-c") + 1])


def in_plays(plays: Any) -> Iterator[str]:
    """What the plays run on the controller, not what they run on the test hosts."""
    for play in plays if isinstance(plays, list) else []:
        here = play.get("connection") == "local" or play.get("delegate_to") == "localhost"
        for part in ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always"):
            yield from in_tasks(play.get(part) or [], here=here)
        yield from in_tasks([play], here=here)


def in_tasks(tasks: Iterable[dict[str, Any]], *, here: bool) -> Iterator[str]:
    for task in tasks:
        ours = here or task.get("delegate_to") == "localhost"
        for part in ("block", "rescue", "always"):
            yield from in_tasks(task.get(part) or [], here=ours)
        for name in COMMAND_TASKS if ours else ():
            given = task.get(name) or ""
            line = (given.get("argv") or given.get("cmd") or "") if isinstance(given, dict) else given
            if isinstance(line, list):
                yield from in_words([str(word) for word in line])
            elif name.endswith("shell"):
                yield from in_shell(line)
            else:
                yield from in_words(shlex.split(line))
