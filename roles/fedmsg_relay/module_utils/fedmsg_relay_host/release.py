"""Installs a release of the program from wheels that the controller brought. The host fetches nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .command import Run, must

PROGRAM = "fedmsg-relay"
COMPLETE = ".complete"


@dataclass(frozen=True)
class Release:
    """A release.

    Attributes:
        path: its directory, a venv.
        wheels: the directory of its wheels, which goes afterwards.
        python: the Python for the venv.
        extra: the extra of the program that is added; empty for the program itself.
        importable: patterns of the modules of the venv that scripts on the host import.
        site: the directory in which the host's own Python looks for path files.
    """

    path: str
    wheels: str
    python: str
    extra: str = ""
    importable: Sequence[str] = ()
    site: str = "dist-packages"

    @property
    def mark(self) -> Path:
        """The file that says that it is complete. The last step of an installation makes it."""
        return Path(self.path, f".{self.extra}" if self.extra else COMPLETE)


def install(release: Release, run: Run) -> None:
    """Install a release, or an extra of one.

    Args:
        release: it.
        run: runs a command.

    Raises:
        CommandError: Python, pip or the program failed.
        OSError: a file cannot be written.
    """
    os.umask(0o022)
    path = Path(release.path)
    if release.extra:
        _pip(release, f"{PROGRAM}[{release.extra}]", run)
    else:
        shutil.rmtree(path, ignore_errors=True)
        must(run, [release.python, "-m", "venv", str(path)])
        _pip(release, PROGRAM, run)
        must(run, [str(path / "bin" / PROGRAM), "--version"])
        _link_importable(release)
    shutil.rmtree(Path(release.wheels).parent)
    release.mark.touch()


def _pip(release: Release, what: str, run: Run) -> None:
    python = str(Path(release.path, "bin/python"))
    pip = ["env", "PIP_CONFIG_FILE=/dev/null", python, "-m", "pip", "install", "--quiet"]
    must(
        run,
        [*pip, "--disable-pip-version-check", "--no-cache-dir", "--no-index", "--find-links", release.wheels, what],
    )


def _link_importable(release: Release) -> None:
    """Put the modules that scripts import into a folder of their own: they find neither pip nor anything else there."""
    [packages] = Path(release.path).glob("lib/python*/site-packages")
    folder = packages.with_name("importable")
    folder.mkdir()
    for pattern in release.importable:
        for module in sorted(packages.glob(pattern)):
            (folder / module.name).symlink_to(f"../site-packages/{module.name}")
    Path("/usr/local/lib", packages.parent.name, release.site).mkdir(parents=True, exist_ok=True)
