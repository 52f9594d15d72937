"""Make the virtual environments that the demo and the tests run in.

Run as a program it makes `.venv` with fedmsg-relay installed from this tree: what the demo needs. With the name of an
extra of pyproject.toml, `bench` or `dev`, it installs that as well.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STOCK_VENV = ROOT / ".venv-stock"
FEDORA_VENV = ROOT / ".venv-fedora"
FEDORA_REQUIREMENTS = ROOT / "tests" / "support" / "fedora-requirements.txt"
STOCK_REQUIREMENTS = ROOT / "tests" / "support" / "stock-requirements.txt"
INSTALL_SECONDS = 600
EXTRAS = {
    "": "fedmsg-relay",
    "bench": "fedmsg-relay and the libraries of the benchmarks",
    "dev": "fedmsg-relay and the tools of the tests",
}
"""What each extra of pyproject.toml installs; each has what those before it have."""


class SetupError(Exception):
    """What is missing, in one line that says what to do."""


def make_venv(extra: str) -> None:
    """Make `.venv` with this tree installed, editable, and what one of EXTRAS adds to it."""
    # Of these an editable install has copies.
    copied = [ROOT / "pyproject.toml", ROOT / "src" / "fedmsg_relay" / "fedmsg-spool"]
    # An environment with a later extra serves as well.
    accepted = [_stamp(more, *copied) for more in [*EXTRAS][[*EXTRAS].index(extra) :]]
    project = f".[{extra}]" if extra else "."  # Debian 12's pip takes no empty brackets
    _ensure(VENV, {*accepted}, accepted[0], EXTRAS[extra], ["--editable", project])


def make_stock_venv() -> None:
    """Make `.venv-stock` with the stock fedmsg that the tests talk to."""
    stamp = _stamp("stock", STOCK_REQUIREMENTS)
    # Without --use-pep517 the pip of Debian 12 builds the old packages among these in a way that fails.
    arguments = ["--use-pep517", "--requirement", str(STOCK_REQUIREMENTS)]
    _ensure(STOCK_VENV, {stamp}, stamp, "stock fedmsg", arguments)


def make_fedora_venv() -> None:
    """Make `.venv-fedora` with the fedora-messaging that reads what the bridge sends."""
    stamp = _stamp("fedora", FEDORA_REQUIREMENTS)
    _ensure(FEDORA_VENV, {stamp}, stamp, "fedora-messaging", ["--requirement", str(FEDORA_REQUIREMENTS)])


def _stamp(kind: str, *sources: Path) -> str:
    content = b"".join(source.read_bytes() for source in sources)
    return f"{kind} {hashlib.sha256(content).hexdigest()}"


def _ensure(path: Path, accepted: set[str], stamp: str, what: str, arguments: list[str]) -> None:
    stamp_file = path / "installed"
    if _usable(path) and stamp_file.exists() and stamp_file.read_text() in accepted:
        return
    started = time.monotonic()
    print(f"Setting up {path.name}/ (once): {what} ...", flush=True)
    if not _usable(path):
        try:
            venv.create(path, clear=True, symlinks=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SetupError(f"cannot make {path}: {error}") from None
    log = ROOT / ".cache" / f"{path.name.lstrip('.')}.log"
    log.parent.mkdir(exist_ok=True)
    pip = [str(path / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [*pip, *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SetupError(f"pip did not end within {INSTALL_SECONDS} s, see {log}") from None
    if done.returncode != 0:
        errors = [line for line in log.read_text(errors="replace").splitlines() if "ERROR" in line]
        reason = errors[-1].strip() if errors else f"pip exited {done.returncode}"
        raise SetupError(f"cannot install {what}: {reason} (see {log})")
    stamp_file.write_text(stamp)
    print(f"Setting up {path.name}/: done in {time.monotonic() - started:.0f} s", flush=True)


def _usable(path: Path) -> bool:
    """Whether the environment runs, where it is: one that was moved or lost its Python does not."""
    try:
        prefix = subprocess.run(
            [str(path / "bin" / "python"), "-c", "import pip, sys; print(sys.prefix)"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return prefix.returncode == 0 and prefix.stdout.strip() == os.fspath(path)


if __name__ == "__main__":
    try:
        make_venv(*sys.argv[1:] or [""])
    except SetupError as error:
        sys.exit(f"cannot set up .venv/: {error}")
