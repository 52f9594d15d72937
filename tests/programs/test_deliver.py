"""The delivery of the spool: in order, each message once."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

from bus import Bus, StartBus
from fedmsg_relay.errors import EX_UNAVAILABLE
from harness import Host, wait_until
from relays import Relay
from spooled import LOOKING, WAYS, deliver, expect_texts, log, message, put, shell, waiting

# Order.


def test_new_messages_go_behind_waiting_ones_and_all_arrive_once_in_order(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    texts = []
    for round_number in range(2):
        for way, send in WAYS.items():
            texts.append(f"{way} {round_number}")
            assert send(host, texts[-1]).code == 0
    bus = start_bus()
    # The relay is there again, but something waits.
    assert "1 spooled" in log(host, "behind them").one_error_line()
    listed = host.run("fedmsg-relay", "spool", "ls")
    assert listed.stdout.splitlines() == ["7 waiting", *(path.name for path in waiting(host))]
    ran = deliver(host)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "delivered 7, refused 0\n", "")
    assert waiting(host) == []
    expect_texts(bus, [*texts, "behind them"])


def test_over_inbound_everything_arrives_in_order_too(host: Host, start_bus: StartBus) -> None:
    host.configure_submit()
    host.configure(relay_spool=str(host.spool))  # no relay_submit
    for number in range(3):
        assert shell(host, str(number)).code == 0
    bus = start_bus()
    assert deliver(host).code == 0
    expect_texts(bus, ["0", "1", "2"])


def test_more_than_one_lot_arrives_in_order(submit_bus: Bus) -> None:
    for number in range(250):
        put(submit_bus.host, message(str(number)), f"{number:020d}-1-1.msg")
    ran = deliver(submit_bus.host)
    assert ran.stdout == "delivered 250, refused 0\n"
    expect_texts(submit_bus, [str(number) for number in range(250)])


def test_messages_from_the_shell_get_the_configs_prefix_and_their_own_time(submit_bus: Bus) -> None:
    assert shell(submit_bus.host, "hello").code == 0
    timestamp, msg_id = waiting(submit_bus.host)[0].read_text().split("\n")[3:5]
    assert deliver(submit_bus.host).code == 0
    wait_until(lambda: submit_bus.listener.hear(0.1), "the message")
    ((topic, body),) = submit_bus.listener.messages
    assert topic == b"org.fedoraproject.test.logger.log"
    envelope = json.loads(body)
    assert (envelope["timestamp"], envelope["msg_id"]) == (int(timestamp), msg_id)


# Delivery.


def test_without_a_relay_the_files_stay(lonely: Host) -> None:
    assert shell(lonely, "one").code == shell(lonely, "two").code == 0
    before = [(path.name, path.read_bytes()) for path in waiting(lonely)]
    ran = deliver(lonely, patience=1)
    assert ran.code == EX_UNAVAILABLE
    assert ran.within(LOOKING)
    assert "2 stay" in ran.one_error_line()
    assert [(path.name, path.read_bytes()) for path in waiting(lonely)] == before


def test_it_goes_on_trying_until_the_relay_is_there(host: Host, relay: Relay) -> None:
    host.configure_submit()
    assert shell(host, "patience").code == 0
    delivery = host.start("fedmsg-relay", "spool", "deliver", "--patience", "30")
    relay.start()
    assert delivery.wait() == 0, delivery.stderr()
    assert waiting(host) == []


def test_an_empty_spool_is_delivered_at_once(lonely: Host) -> None:
    ran = deliver(lonely)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "delivered 0, refused 0\n", "")


def test_no_spool_is_said_in_one_line(lonely: Host) -> None:
    for command in ("ls", "deliver"):
        ran = lonely.run("fedmsg-relay", "spool", command, "--spool", "/nowhere")
        assert ran.code == EX_UNAVAILABLE
        assert "/nowhere" in ran.one_error_line()
    lonely.configure_submit(spool="")
    for command in ("ls", "deliver"):
        ran = lonely.run("fedmsg-relay", "spool", command)
        assert ran.code == EX_UNAVAILABLE
        assert "relay_spool is empty" in ran.one_error_line()
        assert not (lonely.directory / "refused").exists()


def test_json_for_scripts(submit_bus: Bus) -> None:
    host = submit_bus.host
    assert shell(host, "one").code == 0
    listed = json.loads(host.run("fedmsg-relay", "spool", "ls", "--json").stdout)
    assert listed == {"spool": str(host.spool), "waiting": [path.name for path in waiting(host)]}
    assert json.loads(host.run("fedmsg-relay", "spool", "deliver", "--json").stdout) == {"delivered": 1, "refused": 0}


def test_a_delivery_killed_before_it_removes_files_publishes_nothing_twice(submit_bus: Bus) -> None:
    host = submit_bus.host
    for number in range(3):
        assert shell(host, str(number)).code == 0
    copy = host.directory / "copy"
    shutil.copytree(host.spool, copy)
    assert deliver(host).code == 0
    for path in copy.iterdir():  # as it was between the receipt and the unlink
        shutil.copy2(path, host.spool)
    ran = deliver(host)
    assert (ran.code, ran.stdout) == (0, "delivered 3, refused 0\n")
    assert waiting(host) == []
    expect_texts(submit_bus, ["0", "1", "2"])
    assert submit_bus.relay.messages()["duplicates"] == 3


def test_of_two_deliveries_at_once_the_second_says_so(lonely: Host) -> None:
    assert shell(lonely, "x").code == 0
    first = lonely.start("fedmsg-relay", "spool", "deliver", "--patience", "30")
    wait_until((lonely.spool / "refused" / ".lock").exists, "the first has begun")

    def second_is_refused() -> bool:
        ran = deliver(lonely, patience=1)
        return ran.code == EX_UNAVAILABLE and "another process is delivering it" in ran.one_error_line()

    wait_until(second_is_refused, "the second is refused")
    assert first.alive()
    first.stop(signal.SIGKILL)
    assert "1 stay" in deliver(lonely, patience=1).one_error_line(), "the lock went with its holder"


def test_the_delivery_is_not_taken_for_a_relay(lonely: Host) -> None:
    assert log(lonely, "waits").code == 0
    delivery = lonely.start("fedmsg-relay", "spool", "deliver")
    name = Path(f"/proc/{delivery.pid}/comm")
    wait_until(lambda: name.read_text() == "fedmsg-deliver\n", "its name in the process list")
    delivery.stop()
