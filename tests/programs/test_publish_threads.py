"""Threads and children of one script publish, each in its order."""

from __future__ import annotations

import json

from bus import Bus
from harness import Host
from scripted import published, run
from spooled import waiting

THREADS = """
import threading
import fedmsg_relay as fedmsg
def work(who):
    for n in range(20):
        fedmsg.publish(topic='t%i' % who, modname='test', msg=dict(n=n))
threads = [threading.Thread(target=work, args=(who,)) for who in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_publish_each_in_order(shared_bus: Bus) -> None:
    ran = run(shared_bus.host, THREADS)
    assert (ran.code, ran.stderr) == (0, "")
    messages = published(shared_bus.listener, 100)
    for who in range(5):
        mine = [body["msg"]["n"] for topic, body in messages if topic.endswith(f".t{who}")]
        assert mine == list(range(20))


THREADS_WITHOUT_A_RELAY = """
import threading
import fedmsg_relay as fedmsg
from fedmsg_relay.errors import NoRelayError

fedmsg.init()
def work(who):
    try:
        for n in range(2):
            fedmsg.publish(topic='t%i' % who, modname='test', msg=dict(n=n), timeout=1)
    except NoRelayError as error:
        print(error)
threads = [threading.Thread(target=work, args=(who,)) for who in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_without_a_relay_do_not_wait_for_each_other(host: Host) -> None:
    ran = run(host, THREADS_WITHOUT_A_RELAY)
    assert (ran.code, ran.stderr) == (0, "")
    ended = ran.stdout.splitlines()
    assert len(ended) == 16
    assert any(host.inbound in line for line in ended)
    # Whose time was over while others were looking for the relay did not begin to look as well.
    assert any("other threads" in line for line in ended)


def test_threads_without_a_relay_spool_each_in_order(lonely: Host) -> None:
    ran = run(lonely, THREADS_WITHOUT_A_RELAY)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == "", "no thread ended with an error"
    spooled = [json.loads(path.read_bytes().split(b"\n", 2)[2]) for path in waiting(lonely)]
    assert len({body["msg_id"] for body in spooled}) == len(spooled) == 32
    for who in range(16):
        mine = [body["msg"]["n"] for body in spooled if body["topic"].endswith(f".t{who}")]
        assert mine == [0, 1]


FORK = """
import os
import fedmsg_relay as fedmsg
fedmsg.publish(topic='parent', modname='test', msg={'n': 1})
child = os.fork()
fedmsg.publish(topic='child' if child == 0 else 'parent', modname='test', msg={'n': 2})
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_parent_and_child_of_a_fork_both_publish(shared_bus: Bus) -> None:
    ran = run(shared_bus.host, FORK)
    assert (ran.code, ran.stderr) == (0, "")
    messages = published(shared_bus.listener, 3)
    assert sorted((topic.rpartition(".")[2], body["msg"]["n"]) for topic, body in messages) == [
        ("child", 2),
        ("parent", 1),
        ("parent", 2),
    ]
