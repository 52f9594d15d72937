"""The spool of several users."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from bus import StartBus
from fedmsg_relay.errors import EX_DATAERR, EX_UNAVAILABLE
from harness import Host, Ran, locate, wait_until
from relays import Relay
from spooled import LOOKING, WAYS, deliver, log, message, put, put_first, shell, waiting
from wire import accepted

WRITER, DELIVERER = 65534, 64321
"""Users of the tests that need two."""

as_root = pytest.mark.usefixtures("root")


def as_user(host: Host, user: int, *command: str | Path) -> Ran:
    ids = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return host.run("/usr/bin/setpriv", *ids, *command, env={"FEDMSG_SPOOL": str(host.spool)})


@pytest.fixture
def shared(lonely: Host) -> Host:
    """A host whose spool belongs to the user that delivers it; every user can run a copy of fedmsg-spool there."""
    os.chown(lonely.spool, DELIVERER, DELIVERER)
    lonely.spool.chmod(0o3777)
    shutil.copy(locate("fedmsg-spool"), lonely.directory / "fedmsg-spool")
    return lonely


@as_root
def test_a_user_without_a_name_can_spool_for_the_user_that_delivers(shared: Host) -> None:
    options = ["--topic=a", "--modname=b", "--message={}"]
    ran = as_user(shared, 54321, shared.directory / "fedmsg-spool", *options)
    assert (ran.code, ran.stderr) == (0, "")
    (path,) = waiting(shared)
    assert (path.stat().st_uid, path.stat().st_gid) == (54321, DELIVERER)
    assert as_user(shared, DELIVERER, "/bin/cat", path).code == 0
    assert as_user(shared, DELIVERER, "/bin/rm", path).code == 0


@as_root
def test_users_cannot_read_remove_or_replace_messages_of_others(shared: Host) -> None:
    put_first(shared)
    assert log(shared, "root's").code == 0
    (_, path) = waiting(shared)
    before = path.read_bytes()
    program = shared.directory / "fedmsg-spool"
    assert as_user(shared, WRITER, program, "--topic=a", "--modname=b", "--message={}").code == 0
    commands: list[list[str | Path]] = [["/bin/rm", "-f", path], ["/bin/mv", path, f"{path}.gone"], ["/bin/cat", path]]
    for command in commands:
        assert as_user(shared, WRITER, *command).code != 0, command
    assert path.read_bytes() == before
    assert len(waiting(shared)) == 3


@as_root
def test_a_spool_that_a_user_may_not_write_to_takes_nothing_of_theirs(shared: Host) -> None:
    shared.spool.chmod(0o755)
    ran = as_user(shared, WRITER, shared.directory / "fedmsg-spool", "--topic=a", "--modname=b", "--message={}")
    assert ran.code == EX_UNAVAILABLE
    assert "may write to" in ran.one_error_line()
    assert waiting(shared) == []


@as_root
def test_a_file_that_the_deliverer_cannot_read_is_set_aside(lonely: Host, relay: Relay) -> None:
    closed = put_first(lonely)
    closed.chmod(0o600)
    os.chown(closed, WRITER, WRITER)
    assert log(lonely, "behind it").code == 0
    relay.start()
    # Root owns this spool, here without the right to read everything.
    without = ["/usr/bin/setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    ran = lonely.run(*without, locate("fedmsg-relay"), "spool", "deliver", "--patience", "10")
    assert (ran.code, ran.stdout) == (EX_DATAERR, "delivered 1, refused 1\n")
    assert f"{closed} is set aside: it cannot be read" in ran.one_error_line()
    assert (lonely.spool / "refused" / closed.name).exists()
    assert log(lonely, "straight to the relay").stderr == ""


JUNK: dict[str, Callable[[Host], list[Path]]] = {
    "messages beyond any quota": lambda host: [put(host, b"", f"{n:020d}-1-1.msg") for n in range(10_001)],
    "a sparse file": lambda host: [sparse(host, f"{0:020d}-1-1.msg")],
    "a sparse file of another name": lambda host: [sparse(host, "large")],
    "files of other names": lambda host: [put(host, b"", f"{n}.junk") for n in range(10_001)],
    "files that were begun": lambda host: [put(host, b"", f".{n:020d}-1-1.msg") for n in range(10_001)],
}


def sparse(host: Host, name: str) -> Path:
    path = put(host, b"", name)
    os.truncate(path, 2 * 1024**3)
    return path


@as_root
@pytest.mark.parametrize("junk", JUNK)
def test_others_can_spool_whatever_a_user_puts_there(lonely: Host, junk: str) -> None:
    for number in range(61):  # so many that sizes are added up
        put(lonely, message("mine"), f"{number:020d}-2-1.msg")
    for path in JUNK[junk](lonely):
        os.chown(path, WRITER, WRITER)
    before = len(waiting(lonely))
    for number, way in enumerate(WAYS.values(), 1):
        ran = way(lonely, "hello")
        assert ran.code == 0, ran.stderr
        assert ran.within(LOOKING)
        assert len(waiting(lonely)) == before + number


@as_root
@pytest.mark.parametrize("way", WAYS)
def test_a_user_has_a_quota_of_bytes_that_counts_what_a_file_says(lonely: Host, way: str) -> None:
    for number in range(61):
        put(lonely, message("mine"), f"{number:020d}-2-1.msg")
    sparse(lonely, f"{0:020d}-1-1.msg")
    assert "is full for this user" in WAYS[way](lonely, "too much").stderr


@as_root
def test_where_only_others_messages_wait_a_script_sends_at_once(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    start_bus()
    os.chown(put_first(host), WRITER, WRITER)
    assert log(host, "at once").stderr == ""
    assert shell(host, "mine").code == 0
    assert "1 spooled" in log(host, "behind mine").stderr


@contextlib.contextmanager
def picky_relay(host: Host, answer: Callable[[bytes], dict[str, Any] | None]) -> Iterator[list[str]]:
    """A submit that answers a batch as its last body that is answered otherwise says; the texts that it took."""
    taken: list[str] = []
    done = threading.Event()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    address = f"tcp://127.0.0.1:{host.port()}"
    host.configure_submit([address])
    router.bind(address)

    def serve() -> None:
        while not done.is_set():
            if not router.poll(50):
                continue
            identity, empty, version, *rest = router.recv_multipart()
            answers = [answer(body) for body in rest[1::2]]
            if None in answers:
                continue
            reply = next((a for a in answers if a and a["status"] != "accepted"), accepted(1, len(answers)))
            if reply["status"] == "accepted":
                taken.extend(json.loads(body)["msg"]["log"] for body in rest[1::2])
            router.send_multipart([identity, empty, version, json.dumps(reply).encode()])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield taken
    finally:
        done.set()
        thread.join()
        context.destroy(linger=0)


POISON: dict[str, dict[str, Any] | None] = {
    "no answer": None,
    "busy": {"status": "busy", "retry_after": 0.1},
}


@as_root
@pytest.mark.parametrize("poison", POISON)
def test_a_message_that_no_relay_takes_holds_up_only_its_own_user(lonely: Host, poison: str) -> None:
    with picky_relay(lonely, lambda body: POISON[poison] if b"poison" in body else accepted(1, 1)) as taken:
        for number, text in enumerate(["first", "second", "poison", "third"]):
            os.chown(put(lonely, message(text), f"{number:020d}-1-1.msg"), WRITER, WRITER)
        for number in range(250):
            put(lonely, message(str(number)), f"{number:020d}-2-1.msg")
        delivery = lonely.start("fedmsg-relay", "spool", "deliver", "--patience", "12")
        wait_until(lambda: len(taken) == 252, "all but the poison and what is behind it")
        assert delivery.wait(60) == EX_UNAVAILABLE
        assert "252 delivered, 0 refused, 2 stay" in delivery.stderr()
    assert [text for text in taken if not text.isdecimal()] == ["first", "second"]
    assert [text for text in taken if text.isdecimal()] == [str(number) for number in range(250)]
    assert [json.loads(path.read_bytes().split(b"\n", 2)[2])["msg"]["log"] for path in waiting(lonely)] == [
        "poison",
        "third",
    ]


def test_a_file_that_became_a_folder_while_it_was_sent_stops_nothing(lonely: Host) -> None:
    names = [f"{number:020d}-1-1.msg" for number in range(2)]

    def answer(_: bytes) -> dict[str, Any]:
        path = lonely.spool / names[0]
        if path.is_file():
            path.unlink()
            path.mkdir()
        return accepted(1, 1)

    with picky_relay(lonely, answer) as taken:
        for name in names:
            put(lonely, message(name), name)
        ran = deliver(lonely)
    assert (ran.code, ran.stdout) == (0, "delivered 2, refused 0\n"), ran.stderr
    assert taken == names
    assert not (lonely.spool / names[1]).exists()


UNREAD = """
import errno, os, sys, fedmsg_relay.config as g, fedmsg_relay.commands.deliver as d

def read(path, *args, real=os.open, **options):
    if str(path).endswith("-1-1.msg"):
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
    return real(path, *args, **options)

os.open = read
try:
    d.deliver(g.load_config(), sys.argv[1], 1.0)
except d.NoRelayError as error:
    print(error)
"""


@as_root
def test_a_file_that_the_host_cannot_read_now_stays_and_holds_up_only_its_own_user(lonely: Host) -> None:
    with picky_relay(lonely, lambda _: accepted(1, 1)) as taken:
        stays = [put(lonely, message("theirs"), f"{number:020d}-{number}-1.msg") for number in (1, 2)]
        for path in stays:
            os.chown(path, WRITER, WRITER)
        put(lonely, message("mine"), f"{3:020d}-3-1.msg")
        ran = lonely.run("python", "-c", UNREAD, lonely.spool)
    assert "1 delivered, 0 refused, 2 stay in" in ran.stdout, ran.stderr
    assert "cannot be read now: Too many open files in system" in ran.stdout
    assert taken == ["mine"]
    assert waiting(lonely) == stays


@as_root
def test_a_file_that_cannot_be_put_away_stops_nothing(shared: Host, relay: Relay) -> None:
    """As if its owner had exchanged it for a folder between two calls."""
    os.chown(put(shared, b"", "1.junk"), WRITER, WRITER)
    put_first(shared)
    relay.start()
    # The spool is another user's, here without the right to do as its owner.
    without = ["/usr/bin/setpriv", "--bounding-set=-fowner"]
    ran = shared.run(*without, locate("fedmsg-relay"), "spool", "deliver", "--patience", "10")
    assert (ran.code, ran.stdout) == (0, "delivered 1, refused 0\n"), ran.stderr
    assert ran.one_error_line().endswith("1 left, such as folders that are not empty")


@as_root
def test_users_take_turns_so_that_a_busy_user_holds_up_nobody(lonely: Host) -> None:
    with picky_relay(lonely, lambda _: accepted(1, 1)) as taken:
        for number in range(1000):
            os.chown(put(lonely, message(f"{number}"), f"{number:020d}-1-1.msg"), WRITER, WRITER)
        put(lonely, message("one of mine"), f"{2000:020d}-1-1.msg")
        assert deliver(lonely).stdout == "delivered 1001, refused 0\n"
    assert taken.index("one of mine") <= 100
    assert [text for text in taken if text.isdecimal()] == [str(number) for number in range(1000)]


def test_tries_in_vain_leave_nothing_open(lonely: Host) -> None:
    with picky_relay(lonely, lambda _: {"status": "busy", "retry_after": 0.1}):
        for number in range(30):
            put(lonely, message(str(number)), f"{number:020d}-1-1.msg")
        script = (
            "import os, sys, fedmsg_relay.config as g\n"
            "import fedmsg_relay.commands.deliver as d, fedmsg_relay.publisher as p\n"
            "d.FIRST_PAUSE = d.LONGEST_PAUSE = 0.01; p.DEFAULT_TIMEOUT = 0.2; opened = []\n"
            "def again(self, waiting, real=d._Run._round):\n"
            "    opened.append((len(os.listdir('/proc/self/fd')), len(os.listdir('/proc/self/task'))))\n"
            "    return real(self, waiting)\n"
            "d._Run._round = again\n"
            "try: d.deliver(g.load_config(), sys.argv[1], 8.0)\n"
            "except p.NoRelayError: print(len(opened) > 2 and max(opened[1:]) <= max(opened[:2]), opened)\n"
        )
        ran = lonely.run("python", "-c", script, lonely.spool)
    assert ran.stdout.startswith("True"), ran.stdout + ran.stderr
