"""The role elsewhere than in this checkout: as a collection, and from a git URL, with each supported ansible-core."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import build_collection
import pytest
import yaml
from packaging.specifiers import SpecifierSet

import controllers
from controllers import Site, at_hand, controller

pytestmark = pytest.mark.timeout(600)  # a dry run takes 10 s, and on a busy machine some minutes
ROOT = Path(__file__).parents[2]
OWN = Path(sys.executable).parent
PLAN = "app01: installs the program"
SUPPORTED = ("2.17", "2.18", "2.19", "2.20", "2.21")
ENDS = at_hand(SUPPORTED[0], SUPPORTED[-1])
BETWEEN = at_hand("2.18", "2.20")
"""2.19 is that of the tests themselves, and of the scenarios."""


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_collection.build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, collection: Path) -> Site:
    """A site that has installed the collection's tarball."""
    site = Site(tmp_path_factory.mktemp("site"))
    done = site.run(OWN, "ansible-galaxy", "collection", "install", "-p", "collections", str(collection))
    assert done.returncode == 0, done.stderr
    return site


def said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).split())


def test_the_collection_holds_what_git_knows_and_each_plugin_once(collection: Path) -> None:
    with tarfile.open(collection) as tar:
        names = {member.name for member in tar if member.isfile()}
    assert {"plugins/modules/fedmsg_relay_look.py", "plugins/filter/fedmsg_relay.py", "meta/runtime.yml"} <= names
    assert {"plugins/action/fedmsg_relay_keys.py", "plugins/lookup/fedmsg_relay_key_faults.py"} <= names
    assert {"playbooks/status.yml", "requirements/base.txt", "src/fedmsg_relay/__init__.py"} <= names
    assert [name for name in names if name.startswith("roles/") and name.endswith(".py")] == [
        "roles/fedmsg_relay/files/wheelhouse.py"
    ]
    assert not [name for name in names if name.split("/")[0] in {"tests", "molecule", "script", ".git", ".cache"}]


def test_the_supported_controllers_stand_once_more_in_each_place() -> None:
    supported = SpecifierSet(yaml.safe_load((ROOT / "collection/runtime.yml").read_text())["requires_ansible"])
    assert [series for series in controllers.NEEDS if f"{series}.0" in supported] == [*SUPPORTED]
    assert "2.22.0" not in supported
    galaxy = yaml.safe_load((ROOT / "roles/fedmsg_relay/meta/main.yml").read_text())["galaxy_info"]
    assert galaxy["min_ansible_version"] == SUPPORTED[0]
    check = (ROOT / "roles/fedmsg_relay/tasks/preflight/check_controller.yml").read_text()
    assert f'oldest: "{SUPPORTED[0]}"' in check
    for page in ("README.md", "roles/fedmsg_relay/README.md", "docs/controllers.md"):
        assert f"ansible-core {SUPPORTED[0]} to {SUPPORTED[-1]}" in " ".join((ROOT / page).read_text().split()), page


@pytest.mark.parametrize("series", BETWEEN)
def test_the_playbooks_of_the_collection_are_run_by_their_names(installed: Site, series: str) -> None:
    names = ["fedmsg.relay.relay", "fedmsg.relay.restart", "fedmsg.relay.status", "fedmsg.relay.uninstall"]
    done = installed.run(controller(series), "ansible-playbook", "--syntax-check", *names)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("playbook: ") == len(names)


@pytest.mark.parametrize("series", ENDS)
def test_a_dry_run_with_the_collection_goes_through_to_its_end(installed: Site, series: str) -> None:
    before = installed.files("collections")
    own = installed.playbook("fedmsg.relay.fedmsg_relay")
    playbook = "fedmsg.relay.relay" if series == SUPPORTED[-1] else own
    installed.inventory({"fedmsg_relay_bridge": {"amqp_url": ["amqps://bridge:s3cret@rabbit01.example.org/%2F"]}})
    done = installed.run(controller(series), "ansible-playbook", "--check", "--diff", "-vvv", playbook)
    installed.inventory({})
    assert done.returncode == 0, done.stdout + done.stderr
    assert PLAN in said(done)
    assert "bridges its journal to RabbitMQ" in said(done)
    assert "s3cret" not in said(done)
    assert "WARNING" not in said(done)
    assert installed.files("collections") == before, "nothing is written into the collection"


def test_the_documentation_of_the_plugins_is_found(installed: Site) -> None:
    done = installed.run(OWN, "ansible-doc", "fedmsg.relay.fedmsg_relay_look", "fedmsg.relay.fedmsg_relay_files")
    assert done.returncode == 0, done.stderr
    assert "fedmsg.relay.fedmsg_relay_look" in done.stdout


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site that has installed the role from a git URL. It is that of the files here, committed or not."""
    site = Site(tmp_path_factory.mktemp("cloned"))
    origin = site.directory / "origin"
    names = build_collection.run("git", "-C", str(ROOT), "ls-files", "-z").split("\0")[:-1]
    for name in names:
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, origin / name)
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message=x"]):
        subprocess.run(["git", "-C", origin, *command], check=True, timeout=60)
    (site.directory / "requirements.yml").write_text(
        yaml.safe_dump({"roles": [{"src": f"git+file://{origin}", "name": "fedmsg_relay"}]})
    )
    done = site.run(OWN, "ansible-galaxy", "role", "install", "-p", "roles", "-r", "requirements.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    return site


def test_a_role_from_a_git_url_says_first_that_it_needs_the_program(cloned: Site) -> None:
    cloned.inventory({})
    done = cloned.run(OWN, "ansible-playbook", "--check", cloned.playbook("fedmsg_relay"))
    assert done.returncode != 0
    assert f"{cloned.directory} is neither a checkout of fedmsg-relay nor a wheelhouse" in said(done)
    assert "set fedmsg_relay_wheelhouse to a wheelhouse" in said(done)
    assert "Learn the differences between the targets" not in said(done), "no host was asked before"


def test_a_role_from_a_git_url_plans_with_a_wheelhouse(cloned: Site, tmp_path: Path) -> None:
    house = tmp_path / "wheelhouse"
    house.mkdir()
    (house / "release").write_text("0.1.0+0123456789\n")  # a plan takes no wheel from it
    cloned.inventory({"fedmsg_relay_wheelhouse": str(house)})
    before = cloned.files("roles")
    done = cloned.run(OWN, "ansible-playbook", cloned.playbook("fedmsg_relay", "status"))
    assert f"{PLAN} 0.1.0+0123456789.py" in said(done)
    assert "a relay should run here and does not" in said(done)
    assert cloned.files("roles") == before, "nothing is written into the role"


def test_the_status_needs_no_program_on_the_controller(cloned: Site) -> None:
    cloned.inventory({})
    done = cloned.run(OWN, "ansible-playbook", cloned.playbook("fedmsg_relay", "status"))
    assert "a relay should run here and does not" in said(done)
    assert "app01: gets a relay" in said(done)


@pytest.mark.parametrize("series", at_hand("2.16"))
def test_an_older_controller_is_refused_before_anything_else(cloned: Site, series: str) -> None:
    done = cloned.run(controller(series), "ansible-playbook", cloned.playbook("fedmsg_relay"))
    assert done.returncode != 0
    assert "needs ansible-core 2.17 or newer, run by Python 3.11 or newer" in said(done)
    assert f"This is ansible-core {series}." in said(done)
    assert said(done).count("TASK [") <= 3, "the one that includes the role, the specs, and this"


@pytest.mark.parametrize("entry_point", ["main", "restart", "uninstall"])
def test_a_run_without_root_is_refused_before_the_host_is_looked_at(installed: Site, entry_point: str) -> None:
    nobody = {
        "ansible_become": True,
        "ansible_become_method": "su",
        "ansible_become_user": "nobody",
        "ansible_become_flags": "-s /bin/sh",
        "ansible_remote_tmp": "/tmp/.ansible-nobody",  # noqa: S108 - where nobody can write
    }
    installed.inventory(nobody if os.geteuid() == 0 else {})
    playbook = installed.playbook("fedmsg.relay.fedmsg_relay", entry_point)
    done = installed.run(OWN, "ansible-playbook", "--check", playbook, "--extra-vars=fedmsg_relay_uninstall=true")
    installed.inventory({})
    assert done.returncode != 0
    assert "The role needs root on app01, and works there as the user" in said(done)
    assert "set `become: true` in the play. Nothing was changed." in said(done)
    assert "Look at the host" not in said(done)
