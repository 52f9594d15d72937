"""The spool while many scripts write to it at once, and while it is delivered."""

from __future__ import annotations

import json
import threading

from bus import Bus, StartBus
from fedmsg_relay import spool
from fedmsg_relay.envelope import encode
from harness import BUSY, Host, Process, Ran, wait_until
from spooled import LOOKING, WAYS, deliver, expect_texts, message, put, put_first


def test_messages_of_twenty_scripts_at_once_arrive_complete_and_once(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    put_first(host)
    options = ["--modname=logger", "--topic=log"]
    scripts: list[Process] = []
    for number in range(10):
        text = json.dumps({"log": f"sh {number}"})
        env = {"FEDMSG_SPOOL": str(host.spool)}
        scripts.append(host.start("fedmsg-spool", *options, "--message", text, env=env))
        scripts.append(host.start("fedmsg-logger", "--message", f"py {number}"))
    assert [script.wait() for script in scripts] == [0] * 20
    texts = {"first", *(f"sh {n}" for n in range(10)), *(f"py {n}" for n in range(10))}
    bus = start_bus()
    assert deliver(host).stdout == "delivered 21, refused 0\n"
    wait_until(lambda: len(bus.listener.hear(0.1)) >= 21, "21 messages")
    assert sorted(json.loads(body)["msg"]["log"] for _, body in bus.listener.messages) == sorted(texts)


def test_files_that_come_and_go_do_not_make_a_spool_look_full_or_broken(lonely: Host) -> None:
    for number in range(100):  # so many that their size is added up
        put(lonely, message("waits"), f"{number:020d}-1-1.msg")
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            paths = [lonely.spool / f".{number:020d}-2-1.msg" for number in range(200)]
            for path in paths:
                path.touch()
            for path in paths:
                path.unlink()

    coming = threading.Thread(target=come_and_go)
    coming.start()
    try:
        for way in WAYS.values():
            assert [way(lonely, "hello").code for _ in range(20)] == [0] * 20
    finally:
        done.set()
        coming.join(LOOKING + BUSY)


def test_scripts_may_spool_while_it_is_delivered(submit_bus: Bus) -> None:
    host = submit_bus.host
    done = threading.Event()
    faults: list[Ran] = []

    def go_on_delivering() -> None:
        while not done.is_set():
            ran = deliver(host)
            if ran.code:
                faults.append(ran)

    delivering = threading.Thread(target=go_on_delivering)
    delivering.start()
    try:
        texts = []
        for number in range(200):
            texts.append(str(number))
            body = encode({"topic": "t", "msg": {"log": texts[-1]}, "msg_id": f"2026-{number}"})[1]
            spool.add(str(host.spool), [(b"t", body)])
    finally:
        done.set()
        delivering.join()
    assert faults == []
    assert deliver(host).code == 0
    expect_texts(submit_bus, texts)
