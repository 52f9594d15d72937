"""Build the Ansible collection fedmsg.relay of the role, the playbooks and the program's source, from what git knows.

    script/collection [DIRECTORY]

writes DIRECTORY/fedmsg-relay-VERSION.tar.gz, by default into dist/. It needs git and ansible-galaxy, which is in .venv
after `script/test lint`.

Each file has one place in this repository, that of a role. A collection wants three things otherwise, and this is all
that is arranged: plugins are in folders of the collection, filters and lookups are called by their whole names, and
modules import what they share by its whole name.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAME = "fedmsg.relay"
ROLE = Path("roles/fedmsg_relay")
PLUGINS = {
    "action_plugins": "action",
    "filter_plugins": "filter",
    "library": "modules",
    "lookup_plugins": "lookup",
    "module_utils": "module_utils",
}
"""Folders of the role, and of a collection's plugins."""
TAKEN = (
    "LICENSE",
    "README.md",
    "contrib",
    "docs",
    "examples",
    "inventory.example",
    "playbooks",
    "pyproject.toml",
    "requirements",
    "roles",
    "src",
)
"""What is in the collection. From the program's source the role builds the wheel."""
FILTER = re.compile(r"(\|\s*)(fedmsg_relay_\w+)")
LOOKUP = re.compile(r"\b((?:lookup|query)\(')(fedmsg_relay_\w+)")
SHARED = re.compile(r"\bansible[.]module_utils[.](?=fedmsg_relay_)")
SECONDS = 120


class BuildError(Exception):
    """What went wrong, in one line."""


def build(into: Path) -> Path:
    """Build the collection.

    Args:
        into: the directory for the tarball.

    Returns:
        The tarball.

    Raises:
        BuildError: git or ansible-galaxy failed.
    """
    version = version_of(ROOT)
    with tempfile.TemporaryDirectory() as work:
        arrange(Path(work), version)
        galaxy = shutil.which("ansible-galaxy", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}")
        if galaxy is None:
            raise BuildError("there is no ansible-galaxy: `script/test lint` installs it, or install ansible-core")
        run(galaxy, "collection", "build", "--force", "--output-path", str(into.resolve()), work)
    return into / f"{NAME.replace('.', '-')}-{version}.tar.gz"


def version_of(source: Path) -> str:
    found = re.search(r'^__version__ = "([^"]+)"', (source / "src/fedmsg_relay/__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError("src/fedmsg_relay/__init__.py names no __version__")
    return found[1]


def arrange(into: Path, version: str) -> None:
    """Lay out the files of a collection.

    Args:
        into: an empty directory.
        version: of the collection.
    """
    # Files that git does not know, such as an inventory, stay outside.
    for name in run("git", "-C", str(ROOT), "ls-files", "-z", "--", *TAKEN).split("\0")[:-1]:
        place = into / placed(Path(name))
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place)
        if Path(name).is_relative_to(ROLE) and place.suffix in {".yml", ".j2"}:
            place.write_text(qualified(place.read_text()))
        if Path(name).is_relative_to(ROLE / "library"):
            place.write_text(SHARED.sub(f"ansible_collections.{NAME}.plugins.module_utils.", place.read_text()))
    (into / "meta").mkdir()
    shutil.copy(ROOT / "collection/runtime.yml", into / "meta")
    (into / "galaxy.yml").write_text(f"{(ROOT / 'collection/metadata.yml').read_text()}version: {version}\n")


def placed(name: Path) -> Path:
    """Say where a file of this repository is in the collection."""
    if not name.is_relative_to(ROLE):
        return name
    inner = name.relative_to(ROLE)
    kind = PLUGINS.get(inner.parts[0])
    return Path("plugins", kind, *inner.parts[1:]) if kind else name


def qualified(text: str) -> str:
    """Call filters and lookups by their whole names: Ansible finds no others in a collection."""
    return LOOKUP.sub(rf"\1{NAME}.\2", FILTER.sub(rf"\1{NAME}.\2", text))


def run(*command: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{' '.join(command[:3])} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def main(arguments: list[str]) -> int:
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print(__doc__, end="")
        return 0 if arguments in (["-h"], ["--help"]) else 64
    into = Path(*arguments) if arguments else ROOT / "dist"
    try:
        into.mkdir(parents=True, exist_ok=True)
        print(build(into))
    except (BuildError, OSError) as error:
        print(f"script/collection: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
