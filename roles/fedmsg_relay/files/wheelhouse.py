#!/usr/bin/env python3
"""Runs on the controller: builds the program's wheel and collects what it needs for one kind of target.

    wheelhouse.py release SOURCE
        prints the release that SOURCE makes: its version, and a digest of everything that goes into the wheel.
    wheelhouse.py collect [--extra NAME] SOURCE INTO PYTHON MACHINE
        makes the directory INTO: the wheel, and every wheel it needs on PYTHON (3.13) and MACHINE (x86_64), also for an
        extra such as web.

INTO appears whole or not at all. Runs that want the same one at the same time wait for each other.
"""

import argparse
import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Every name under which a wheel for a glibc up to RHEL 9's may be published; pip takes none of them from another.
GLIBC = ("manylinux_2_17", "manylinux2014", "manylinux_2_26", "manylinux_2_28", "manylinux_2_34")
# Wheelhouses of this many releases stay in the cache.
KEEP = 5


def release(source: Path) -> str:
    version = re.search(r'^__version__ = "([^"]+)"', (source / "src/fedmsg_relay/__init__.py").read_text(), re.M)
    if version is None:
        sys.exit(f"{source}/src/fedmsg_relay/__init__.py names no __version__")
    digest = hashlib.sha256()
    files = [path for path in (source / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in sorted([source / "pyproject.toml", *files]):
        digest.update(f"{path.relative_to(source)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"{version[1]}+{digest.hexdigest()[:10]}"


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    # pip, and nothing but our own arguments.
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603
    if "No module named pip" in done.stdout:
        sys.exit(
            f"{sys.executable} on the controller has no pip, and building the program needs it: install pip for it, "
            "or name a Python that has one in fedmsg_relay_controller_python"
        )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout.strip()}")


def collect(source: Path, into: Path, python: str, machine: str, extra: str) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    with (into.parent.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if into.is_dir():
            print("already there")
            return
        with tempfile.TemporaryDirectory(dir=into.parent, prefix="unfinished-") as work:
            wheels = Path(work) / "wheels"
            pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(source))
            platforms = [f"--platform={glibc}_{machine}" for glibc in GLIBC]
            target = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *platforms]
            wanted = [f"{wheel}[{extra}]" if extra else str(wheel) for wheel in wheels.glob("*.whl")]
            pip("download", *target, "--dest", str(wheels), *wanted)
            if release(source) != into.parent.name:
                sys.exit(f"{source} was changed while it was packed: run again")
            wheels.rename(into)
        print("collected")
        releases = sorted(
            (path for path in into.parent.parent.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
        )
        for old in releases[:-KEEP]:
            shutil.rmtree(old)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("release", "collect"):
        verbs.add_parser(verb).add_argument("source", type=Path)
    verbs.choices["collect"].add_argument("into", type=Path)
    verbs.choices["collect"].add_argument("python")
    verbs.choices["collect"].add_argument("machine")
    verbs.choices["collect"].add_argument("--extra", default="")
    asked = parser.parse_args()
    if not (asked.source / "src/fedmsg_relay/__init__.py").is_file():
        sys.exit(f"{asked.source} is not the source of fedmsg-relay: set fedmsg_relay_source to its checkout")
    if asked.verb == "release":
        print(release(asked.source))
    else:
        collect(asked.source, asked.into, asked.python, asked.machine, asked.extra)


if __name__ == "__main__":
    main()
