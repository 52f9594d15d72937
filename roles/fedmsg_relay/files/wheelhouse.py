#!/usr/bin/env python3
"""Runs on the controller: brings together the wheels that the program needs on one kind of target.

    wheelhouse.py release ORIGIN
        prints the release that ORIGIN makes: its version, and a digest of the program's source and of all its pins.
    wheelhouse.py collect [--extra NAME] ORIGIN INTO PYTHON MACHINE
        makes the directory INTO: the wheels of the program and its libraries on PYTHON (3.13) and MACHINE (x86_64),
        also those of an extra such as web.
    wheelhouse.py pack ORIGIN WHEELHOUSE PYTHON-MACHINE...
        makes WHEELHOUSE, for a controller without a package index: all wheels for each kind of target (3.13-x86_64),
        those of all extras too. It is a directory, or a tarball if its name ends in .tar.

ORIGIN is a checkout of fedmsg-relay, the collection, or a wheelhouse. Only a wheelhouse needs no package index.
The files in requirements/ pin all wheels with hashes, so one release is the same wherever it is made.

INTO and WHEELHOUSE appear whole or not at all. Runs that want the same INTO at the same time wait for each other.
Nothing is written into ORIGIN.
"""

import argparse
import contextlib
import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Every name under which a wheel for a glibc up to RHEL 9's may be published; pip takes none of them from another.
GLIBC = ("manylinux_2_17", "manylinux2014", "manylinux_2_26", "manylinux_2_28", "manylinux_2_34")
# Number of releases whose wheels stay in the cache, beside the younger ones.
KEEP = 5
KEEP_SECONDS = 86400
# What a wheelhouse is made of. The pins of the program's own wheel are in program.txt.
RELEASE, REQUIREMENTS, WHEELS = "release", "requirements", "wheels"
PROGRAM, BASE = "program", "base"
MEMBER = re.compile(rf"^({RELEASE}|{REQUIREMENTS}/[\w-]+\.txt|{WHEELS}/[\w.+-]+\.whl)$", re.ASCII)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("release", "collect", "pack"):
        verbs.add_parser(verb).add_argument("origin", type=Path)
    verbs.choices["collect"].add_argument("into", type=Path)
    verbs.choices["collect"].add_argument("python")
    verbs.choices["collect"].add_argument("machine")
    verbs.choices["collect"].add_argument("--extra", default="")
    verbs.choices["pack"].add_argument("wheelhouse", type=Path)
    verbs.choices["pack"].add_argument("targets", nargs="+", metavar="PYTHON-MACHINE", type=target)
    asked = parser.parse_args()
    with opened(asked.origin) as origin:
        if asked.verb == "release":
            print(release(origin))
        elif asked.verb == "collect":
            collect(origin, asked.into, (asked.python, asked.machine), asked.extra)
        else:
            pack(origin, asked.wheelhouse, asked.targets)


def target(text: str) -> tuple[str, str]:
    python, _, machine = text.partition("-")
    if not re.fullmatch(r"3\.\d+", python) or not re.fullmatch(r"\w+", machine):
        raise argparse.ArgumentTypeError(f"{text} is not a Python and a machine, such as 3.13-x86_64")
    return python, machine


@contextlib.contextmanager
def opened(origin: Path) -> Iterator[Path]:
    """Give the directory of an origin, which may be a tarball."""
    if is_source(origin) or (origin / RELEASE).is_file():
        yield origin
    elif origin.is_file():
        with tempfile.TemporaryDirectory() as work:
            unpack(origin, Path(work))
            yield Path(work)
    else:
        sys.exit(
            f"{origin} is neither a checkout of fedmsg-relay nor a wheelhouse: set fedmsg_relay_wheelhouse to a "
            "wheelhouse, or fedmsg_relay_source to a checkout"
        )


def is_source(origin: Path) -> bool:
    return (origin / "src/fedmsg_relay/__init__.py").is_file()


def unpack(tarball: Path, into: Path) -> None:
    try:
        with tarfile.open(tarball) as tar:
            for member in tar:
                content = tar.extractfile(member) if MEMBER.match(member.name) and member.isreg() else None
                if content:
                    (into / member.name).parent.mkdir(exist_ok=True)
                    (into / member.name).write_bytes(content.read())
    except (tarfile.TarError, EOFError) as error:
        sys.exit(f"{tarball} is not a tarball: {error}")
    if not (into / RELEASE).is_file():
        sys.exit(f"{tarball} is not a wheelhouse: it has no file {RELEASE}")


def release(origin: Path) -> str:
    if not is_source(origin):
        return (origin / RELEASE).read_text().strip()
    version = re.search(r'^__version__ = "([^"]+)"', (origin / "src/fedmsg_relay/__init__.py").read_text(), re.M)
    if version is None:
        sys.exit(f"{origin}/src/fedmsg_relay/__init__.py names no __version__")
    digest = hashlib.sha256()
    source = [path for path in (origin / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in sorted([origin / "pyproject.toml", *(origin / REQUIREMENTS).glob("*.txt"), *source]):
        digest.update(f"{path.relative_to(origin)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"{version[1]}+{digest.hexdigest()[:10]}"


def collect(origin: Path, into: Path, kind: tuple[str, str], extra: str) -> None:
    into.parent.mkdir(parents=True, exist_ok=True)
    with (into.parent.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if into.is_dir():
            print("already there")
            return
        with tempfile.TemporaryDirectory(dir=into.parent, prefix="unfinished-") as work:
            wheels = Path(work) / WHEELS
            bring(origin, wheels, kind, [BASE, extra] if extra else [BASE])
            if release(origin) != into.parent.name:
                sys.exit(f"{origin} was changed while it was packed: run again")
            wheels.rename(into)
        print("collected")
        prune(into.parent.parent)


def prune(cache: Path) -> None:
    releases = sorted((path for path in cache.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in releases[:-KEEP]:
        if old.stat().st_mtime < time.time() - KEEP_SECONDS:
            shutil.rmtree(old)


def pack(origin: Path, wheelhouse: Path, kinds: list[tuple[str, str]]) -> None:
    if wheelhouse.exists():
        sys.exit(f"{wheelhouse} is there already: remove it first")
    wheelhouse.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wheelhouse.parent, prefix="unfinished-") as work:
        made = Path(work) / "made"
        for kind in kinds:
            bring(origin, made / WHEELS, kind, [BASE, *extras(origin)])
        (made / REQUIREMENTS).mkdir()
        for name in (BASE, *extras(origin)):
            shutil.copy(origin / REQUIREMENTS / f"{name}.txt", made / REQUIREMENTS)
        (wheel,) = (made / WHEELS).glob("fedmsg_relay-*.whl")
        version, digest = wheel.name.split("-")[1], hashlib.sha256(wheel.read_bytes()).hexdigest()
        (made / REQUIREMENTS / f"{PROGRAM}.txt").write_text(f"fedmsg-relay=={version} --hash=sha256:{digest}\n")
        (made / RELEASE).write_text(f"{release(origin)}\n")
        if wheelhouse.suffix == ".tar":
            with tarfile.open(Path(work) / "tar", "w") as tar:
                for path in sorted(path for path in made.rglob("*") if path.is_file()):
                    tar.add(path, str(path.relative_to(made)))
            made = Path(work) / "tar"
        made.rename(wheelhouse)
    print(wheelhouse)


def extras(origin: Path) -> list[str]:
    return sorted({path.stem for path in (origin / REQUIREMENTS).glob("*.txt")} - {BASE, PROGRAM})


def bring(origin: Path, wheels: Path, kind: tuple[str, str], names: list[str]) -> None:
    """Bring the program's wheel, and the wheels that files of requirements/ pin. Nothing is left to a resolver."""
    python, machine = kind
    if not is_source(origin):
        names = [PROGRAM, *names]
    elif not list(wheels.glob("fedmsg_relay-*.whl")):
        pip("wheel", "--no-deps", "--wheel-dir", str(wheels), str(origin))
    requirements = [origin / REQUIREMENTS / f"{name}.txt" for name in names]
    if missing := [path.stem for path in requirements if not path.is_file()]:
        sys.exit(f"{origin} has no requirements of {', '.join(missing)}")
    index = [] if is_source(origin) else ["--no-index", f"--find-links={origin / WHEELS}"]
    chosen = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    chosen += [f"--platform={glibc}_{machine}" for glibc in GLIBC]
    pinned = ["--require-hashes", *(f"--requirement={path}" for path in requirements)]
    pip("download", "--no-deps", *index, *chosen, *pinned, "--dest", str(wheels))


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    # pip, and nothing but our own arguments.
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603
    if "No module named pip" in done.stdout:
        sys.exit(
            f"{sys.executable} on the controller has no pip, and collecting the program's wheels needs it: install pip "
            "for it, or name a Python that has one in fedmsg_relay_controller_python"
        )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout.strip()}")


if __name__ == "__main__":
    main()
