"""Pin what the program needs on a target: requirements/base.txt, and one file for each extra that a target can have.

    script/pin

takes the newest releases that pyproject.toml allows, from the package index, for every supported Python and machine.
Each file lists all that is needed, also what only some Pythons need, and the hash of each wheel. An extra's file leaves
out what base.txt has.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
sys.path.insert(0, str(ROOT / "roles/fedmsg_relay/files"))

from wheelhouse import GLIBC  # noqa: E402 - it is beside the role

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
NOT_ON_TARGETS = {"bench", "dev"}
"""Extras for those who work on the program."""
SECONDS = 600
Pins = dict[str, tuple[str, set[str]]]
"""By name of a package its version and the hashes of its wheels."""


def main(arguments: list[str]) -> int:
    if arguments:
        print(__doc__, end="")
        return 0 if arguments in (["-h"], ["--help"]) else 64
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = pins(project["dependencies"], {})
    extras = {
        extra: pins([*project["dependencies"], *needed], base)
        for extra, needed in project["optional-dependencies"].items()
        if extra not in NOT_ON_TARGETS
    }
    # Only now: where pip fails, the files stay as they fit together.
    write("base", base, {})
    for extra, pinned in extras.items():
        write(extra, pinned, base)
    return 0


def pins(needed: list[str], known: Pins) -> Pins:
    """Resolve requirements.

    Args:
        needed: as pyproject.toml has them.
        known: packages whose version is decided.

    Returns:
        The pins of all packages.
    """
    found: Pins = {}
    with tempfile.TemporaryDirectory() as work:
        constraints = Path(work) / "constraints"
        for python in PYTHONS:
            for machine in MACHINES:
                decided = {name: version for name, (version, _) in (known | found).items()}
                constraints.write_text("".join(f"{name}=={version}\n" for name, version in decided.items()))
                wheels = Path(work) / f"{python}-{machine}"
                chosen = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
                chosen += [f"--platform={glibc}_{machine}" for glibc in GLIBC]
                pip("download", *chosen, f"--constraint={constraints}", f"--dest={wheels}", *needed)
                for wheel in wheels.iterdir():
                    package, version = wheel.name.split("-")[:2]
                    name = re.sub(r"[-_.]+", "-", package).lower()
                    found.setdefault(name, (version, set()))[1].add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    return found


def write(name: str, pinned: Pins, without: Pins) -> None:
    """Write a file of requirements as pip reads them."""
    lines = ["# Made by script/pin from pyproject.toml."]
    for package, (version, hashes) in sorted(pinned.items()):
        if package not in without:
            lines.append(
                " \\\n".join([f"{package}=={version}", *(f"    --hash=sha256:{one}" for one in sorted(hashes))])
            )
    REQUIREMENTS.mkdir(exist_ok=True)
    (REQUIREMENTS / f"{name}.txt").write_text("\n".join(lines) + "\n")


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    if subprocess.run(command, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False).returncode:
        sys.exit("script/pin: pip failed, see above")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
