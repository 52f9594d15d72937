"""Messages that waited in the quarantine are released: each once, in order, and those that do not pass stay."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import stat
from typing import Any

import pytest

from bus import Bus, StartBus, join
from harness import Host, Ran, wait_until
from messages import Message
from pki import SCM, SHELL, Pki, counted, forged, settings, start, unsigned
from sites import Site
from wire import Sockets


@pytest.fixture
def without_crl(host: Host, pki: Pki, start_bus: StartBus) -> Bus:
    """A relay that enforces signatures and has lost its CRL."""
    pki.crl.unlink()
    return start(host, pki, start_bus, "enforce")


def release(bus: Bus, *options: str) -> Ran:
    return bus.host.run("fedmsg-relay", "journal", "release", *options)


def told(bus: Bus, *options: str) -> dict[str, Any]:
    ran = release(bus, "--json", *options)
    assert (ran.code, ran.stderr) == (0, "")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def held(bus: Bus) -> list[tuple[str, bytes]]:
    with contextlib.closing(sqlite3.connect(f"file:{bus.host.journal_file}?mode=ro", uri=True)) as db:
        return list(db.execute("SELECT reason, body FROM quarantine ORDER BY id"))


def send(bus: Bus, messages: list[Message]) -> None:
    for message in messages:
        bus.publisher.send(*message)


def until_usable(bus: Bus) -> None:
    wait_until(lambda: not bus.relay.status()["trust"]["fault"], "CA and CRL can be used")


def test_what_waited_for_the_crl_comes_out_once_in_order_when_it_is_back(without_crl: Bus, pki: Pki) -> None:
    bus = without_crl
    waiting = [*pki.signed(300), pki.sign(300, msg={"text": "x" * 100_000})]
    send(bus, [*waiting, unsigned(pki.sign(0)), forged(pki.sign(1))])
    counted(bus, quarantined=303)
    before = bus.relay.messages()["received"]
    first = release(bus)
    assert (first.code, first.stdout) == (0, "0 released, 303 stay: 302 trust-unusable, 1 unsigned\n")
    pki.write_crl()
    until_usable(bus)
    assert told(bus) == {
        "messages": 303,
        "looked": 303,
        "released": 301,
        "duplicates": 0,
        "kept": {"unsigned": 1, "signature-invalid": 1},
        "ended": True,
        "fault": "",
    }
    bus.listener.expect(waiting)
    counted(bus, quarantined=303, received=before + 301, waiting=0)
    assert [reason for reason, _ in held(bus)] == ["unsigned", "trust-unusable"]
    assert told(bus, "--reason", "unsigned")["kept"] == {"unsigned": 1}
    bus.publisher.send(*pki.sign(999))
    bus.listener.expect([pki.sign(999)])


def test_a_wrong_policy_is_mended_and_what_it_kept_out_is_released(host: Host, pki: Pki, start_bus: StartBus) -> None:
    topic = pki.sign(0)[0].decode()
    bus = start(host, pki, start_bus, "enforce", routing_policy={topic: [SCM]})
    good = [pki.sign(n, SCM if n % 2 else SHELL) for n in range(10)]
    send(bus, good)
    bus.listener.expect(good[1::2])
    assert told(bus)["kept"] == {"not-permitted": 5}
    pki.configure(host, routing_policy={topic: [SHELL, SCM]})
    bus.relay.reload()
    assert release(bus, "--reason", "not-permitted").stdout == "5 released, 0 stay\n"
    bus.listener.expect(good[::2])


def test_a_released_message_that_was_published_meanwhile_is_not_repeated(without_crl: Bus, pki: Pki) -> None:
    send(without_crl, pki.signed(2))
    counted(without_crl, quarantined=2)
    pki.write_crl()
    until_usable(without_crl)
    send(without_crl, [pki.sign(1)])
    without_crl.listener.expect([pki.sign(1)])
    assert release(without_crl).stdout == "1 released, 1 were published already, 0 stay\n"
    without_crl.listener.expect([pki.sign(0)])
    assert held(without_crl) == []


def test_what_was_refused_at_submit_is_never_released(host: Host, pki: Pki, start_bus: StartBus) -> None:
    bus = start(host, pki, start_bus, "enforce")
    client = bus.sockets.submitter(host.submit)
    assert client.ask(unsigned(pki.sign(0)))["status"] == "refused"
    settings(host, "off")
    bus.relay.reload()
    assert told(bus)["messages"] == 0
    assert [reason for reason, _ in held(bus)] == ["unsigned"]


def test_a_message_that_was_cut_stays_and_is_named(host: Host, pki: Pki, start_bus: StartBus) -> None:
    bus = start(host, pki, start_bus, "enforce")
    bus.publisher.send(*unsigned(pki.sign(0)))
    counted(bus, quarantined=1)
    assert bus.relay.stop() == 0
    with contextlib.closing(sqlite3.connect(host.journal_file)) as db, db:
        db.execute("UPDATE quarantine SET body = substr(body, 1, 20)")  # as an earlier version kept it
    settings(host, "off")
    bus.relay.start()
    assert release(bus).stdout == "0 released, 1 stay: 1 cut\n"


def test_traffic_goes_on_while_much_is_released(without_crl: Bus, pki: Pki) -> None:
    bus, waiting = without_crl, [pki.sign(number, SCM) for number in range(3000)]
    send(bus, waiting)
    counted(bus, quarantined=3000)
    pki.write_crl()
    until_usable(bus)
    releasing = bus.host.start("fedmsg-relay", "journal", "release", "--json")
    client = bus.sockets.submitter(bus.host.submit)
    number = 10_000
    while releasing.alive():
        assert client.ask(pki.sign(number))["status"] == "accepted"
        number += 1
    assert json.loads(releasing.stdout())["released"] == 3000
    heard = bus.listener.wait_for(pki.sign(number - 1)) if number > 10_000 else []
    wait_until(lambda: len(heard + bus.listener.hear(0.1)) >= 3000 + number - 10_000, "all of it")
    heard += bus.listener.messages
    assert [message for message in heard if message in set(waiting)] == waiting
    assert len(heard) == 3000 + number - 10_000


@pytest.mark.parametrize("released", [1, 1000, 2500])
def test_a_kill_in_the_middle_loses_nothing_and_brings_out_nothing_twice(
    without_crl: Bus, pki: Pki, released: int
) -> None:
    bus, waiting = without_crl, [pki.sign(number, SCM) for number in range(4000)]
    send(bus, waiting)
    counted(bus, quarantined=len(waiting))
    pki.write_crl()
    until_usable(bus)
    releasing = bus.host.start("fedmsg-relay", "journal", "release")
    wait_until(lambda: len(held(bus)) <= len(waiting) - released, "it is in the middle")
    bus.relay.kill()
    assert releasing.wait() == 69
    assert "ended before it was done" in releasing.stderr()
    left = len(held(bus))
    assert 0 < left < len(waiting)
    bus.relay.start()
    until_usable(bus)
    assert told(bus)["released"] == left
    assert held(bus) == []
    with contextlib.closing(sqlite3.connect(f"file:{bus.host.journal_file}?mode=ro", uri=True)) as db:
        rows = list(db.execute("SELECT topic, body FROM message ORDER BY seq"))
    assert [row for row in rows if row in set(waiting)] == waiting


def test_without_a_relay_one_line_says_so(host: Host) -> None:
    ran = host.run("fedmsg-relay", "journal", "release")
    assert ran.code == 69
    assert "the relay of this host does not answer at" in ran.one_error_line()
    ran = host.run("fedmsg-relay", "journal", "release", "--reason", "body-not-json")
    assert ran.code == 64
    assert "invalid choice: 'body-not-json'" in ran.one_error_line()


def test_a_relay_that_is_stopped_ends_a_release_and_says_so(without_crl: Bus, pki: Pki) -> None:
    send(without_crl, [pki.sign(number, SCM) for number in range(2000)])
    counted(without_crl, quarantined=2000)
    releasing = without_crl.host.start("fedmsg-relay", "journal", "release")
    assert without_crl.relay.stop() == 0
    code = releasing.wait()
    assert code in {0, 69}
    assert len(releasing.stderr().splitlines()) == (code == 69)
    without_crl.relay.start()
    assert len(held(without_crl)) == 2000


def test_the_control_socket_is_for_root_and_the_user_of_the_relay(bus: Bus) -> None:
    path = bus.host.directory / "run" / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for asked in (b"nonsense\n", b'{"release": ["x"]}\n', b'{"release": []}\n', b"x" * 5000, b"[" * 4096, b""):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(path))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(asked)
                client.shutdown(socket.SHUT_WR)
                assert json.loads(client.recv(4096))["fault"]
    assert release(bus).code == 0
    assert bus.relay.stop() == 0
    assert not path.exists()


def test_a_client_that_leaves_ends_its_release_alone(without_crl: Bus, pki: Pki) -> None:
    send(without_crl, [pki.sign(number, SCM) for number in range(2000)])
    counted(without_crl, quarantined=2000)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(without_crl.host.directory / "run" / "control.sock"))
        client.sendall(b'{"release": ["trust-unusable"]}\n')
    assert told(without_crl)["kept"] == {"trust-unusable": 2000}


def test_a_journal_that_cannot_be_written_ends_it(without_crl: Bus, pki: Pki) -> None:
    bus = without_crl
    send(bus, pki.signed(10))
    counted(bus, quarantined=10)
    pki.write_crl()
    until_usable(bus)
    with contextlib.closing(sqlite3.connect(bus.host.journal_file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        ran = release(bus)
        db.execute("ROLLBACK")
    assert ran.code == 69
    assert "ended early: the journal cannot be used" in ran.one_error_line()
    bus.relay.wait_for_log("journal is written again")
    assert release(bus).stdout == "10 released, 0 stay\n"
    publisher = bus.sockets.publisher(bus.host.inbound)
    bus.listener.expect(pki.signed(10))
    join(publisher, bus.listener)


def test_a_chained_relay_releases_to_its_upstream(old: Site, new: Site, pki: Pki, sockets: Sockets) -> None:
    new.relay.start()
    old.chain_to(new)
    pki.configure(old.host)
    settings(old.host, "enforce", old.host.settings_file.read_text())
    pki.crl.unlink()
    old.join()
    publisher = sockets.publisher(old.host.inbound)
    for message in pki.signed(10):
        publisher.send(*message)
    wait_until(lambda: old.relay.messages()["quarantined"] == 10, "they wait")
    pki.write_crl()
    wait_until(lambda: not old.relay.status()["trust"]["fault"], "CA and CRL can be used")
    assert old.host.run("fedmsg-relay", "journal", "release").stdout == "10 released, 0 stay\n"
    wait_until(lambda: len(new.journaled()) >= 10, "they are upstream")
    assert new.journaled() == pki.signed(10)
    assert old.relay.settled()["published"] == 10
