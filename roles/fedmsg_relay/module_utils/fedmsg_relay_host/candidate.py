"""Lets the program check a new config before it is written."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from .command import Ran, Run


@dataclass(frozen=True)
class Candidate:
    """A new config and new settings, and the paths that they will have."""

    config_file: str
    config: str
    settings_file: str
    settings: str | None = None
    moved_config: str | None = None


def first_of(programs: list[str]) -> str:
    """Find the program.

    Args:
        programs: paths where it may be.

    Returns:
        The first path that exists; empty if there is none.
    """
    return next((path for path in programs if Path(path).exists()), "")


def check(program: str, candidate: Candidate, run: Run) -> Ran:
    """Let the program check a candidate.

    Args:
        program: the path of the program.
        candidate: what would be written.
        run: runs a command.

    Returns:
        The program's exit code, answer and reason. They name the paths that the files will have.
    """
    with tempfile.TemporaryDirectory(prefix="fedmsg-relay-") as directory:
        config = Path(directory, "relay.py")
        config.write_text(candidate.config, encoding="utf-8")
        arguments = [f"--stand-in={config}={candidate.config_file}"]
        if candidate.moved_config is not None:
            arguments.append(f"--stand-in={candidate.config_file}={candidate.moved_config}")
        settings = Path(directory, "relay.toml")
        if candidate.settings is None:
            arguments.append("--scripts")
        else:
            settings.write_text(candidate.settings, encoding="utf-8")
            arguments.append(f"--settings={settings}")
        code, answer, reason = run([program, "check-config", "--json", *arguments])
    return code, answer, reason.replace(str(settings), candidate.settings_file)
