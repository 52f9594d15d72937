"""`import fedmsg_relay as fedmsg`: the code of real hooks, run as the script that it is."""

from __future__ import annotations

from typing import Any

import pytest

from bus import Bus
from harness import Host
from messages import Message, envelope
from scripted import published, run

# A dist-git post-receive hook.
HOOK = """
import fedmsg_relay as fedmsg

config = fedmsg.config.load_config([], None)
config['active'] = True
config['endpoints']['relay_inbound'] = config['relay_inbound']
fedmsg.init(name='relay_inbound', cert_prefix='scm', **config)
for seq in range(3):
    fedmsg.publish(
        topic='receive',
        msg=dict(commit=dict(rev='abc%i' % seq, stats=dict(files={'f.spec': {'lines': 2}}), seq=seq)),
        modname='git',
    )
"""

# The manner of pkgdb2branch.py.
BRANCH = """
import fedmsg_relay as fedmsg
fedmsg.init(name='relay_inbound', cert_prefix='shell', active=True)
fedmsg.publish(modname='git', topic='branch', msg=dict(agent='limb', name='nethack', branch='f40'))
"""

# An Ansible callback: init twice (the second time in vain), publish at start and end.
CALLBACK = """
import fedmsg_relay as fedmsg
def publish(topic, msg):
    try:
        fedmsg.init(**{**fedmsg.config.load_config(), 'active': True, 'name': 'relay_inbound'})
    except ValueError:
        pass
    fedmsg.publish(modname='ansible', topic=topic, msg=msg)
publish('playbook.start', {'playbook': 'x.yml'})
publish('playbook.complete', {'playbook': 'x.yml', 'results': {'ok': 1}})
"""

SHORTEST = """
import fedmsg_relay
fedmsg_relay.publish(topic='short', modname='test', msg={'n': 1})
fedmsg_relay.publish('positional', {'n': 2}, modname='test')
"""


def test_a_post_receive_hook_publishes_a_message_for_each_commit(shared_bus: Bus) -> None:
    ran = run(shared_bus.host, HOOK)
    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "")
    messages = published(shared_bus.listener, 3)
    assert [topic for topic, _ in messages] == ["org.fedoraproject.test.git.receive"] * 3
    assert [body["msg"]["commit"]["seq"] for _, body in messages] == [0, 1, 2]
    assert [body["i"] for _, body in messages] == [1, 2, 3]
    assert len({body["msg_id"] for _, body in messages}) == 3


@pytest.mark.parametrize(
    ("code", "topics"),
    [
        (BRANCH, ["git.branch"]),
        (CALLBACK, ["ansible.playbook.start", "ansible.playbook.complete"]),
        (SHORTEST, ["test.short", "test.positional"]),
    ],
    ids=["branch", "callback", "shortest"],
)
def test_a_script_publishes_and_ends(shared_bus: Bus, code: str, topics: list[str]) -> None:
    ran = run(shared_bus.host, code)
    assert (ran.code, ran.stderr) == (0, "")
    assert [topic for topic, _ in published(shared_bus.listener, len(topics))] == [
        f"org.fedoraproject.test.{topic}" for topic in topics
    ]


VALUES = """
import datetime
import fedmsg_relay as fedmsg
class Commit:
    def __json__(self):
        return {'rev': 'abc'}
config = fedmsg.config.load_config([], None)
config.update(active=True, post_init_sleep=2)
fedmsg.init(name='relay_inbound', **config)
def publish(msg, topic='values', modname='test'):
    fedmsg.publish(topic=topic, modname=modname, msg=msg)
publish({'when': datetime.datetime(2026, 1, 2, 3, 4, 5), 'day': datetime.date(2026, 1, 2)})
publish({'commit': Commit(), 'set': {1}, 'tuple': (1, 2), 'text': 'é', 'none': None})
publish('text')
publish([])
publish(None)
publish({}, topic=None)
publish({}, topic='a.b.c', modname='org.fedoraproject.already')
"""


def test_the_messages_are_those_of_stock(shared_bus: Bus) -> None:
    ours = run(shared_bus.host, VALUES)
    assert (ours.code, ours.stderr) == (0, "")
    ours_messages = published(shared_bus.listener, 7)
    stocks = run(shared_bus.host, VALUES, stocks=True)
    assert stocks.code == 0, stocks.stderr
    stocks_messages = published(shared_bus.listener, 7)
    for ours_one, stocks_one in zip(ours_messages, stocks_messages, strict=True):
        assert set(ours_one[1]) == set(stocks_one[1])
        assert without_identity(ours_one) == without_identity(stocks_one)


def without_identity(message: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    topic, body = message
    return topic, {key: value for key, value in body.items() if key not in ("msg_id", "timestamp")}


def test_a_hook_run_with_stock_fedmsg_gets_through_as_well(shared_bus: Bus) -> None:
    ran = run(shared_bus.host, HOOK.replace("**config)", "**dict(config, post_init_sleep=2))"), stocks=True)
    assert ran.code == 0, ran.stderr
    assert len(published(shared_bus.listener, 3)) == 3


def test_a_hook_without_a_relay_ends_with_an_error_in_bounded_time(host: Host) -> None:
    ran = run(host, HOOK)
    assert ran.code != 0
    assert host.inbound in ran.stderr
    assert ran.within(10)


CATCH = """
import sys
import fedmsg_relay as fedmsg
try:
    {statement}
except {error} as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(5)
"""


def test_no_relay_can_be_caught_as_the_os_error_it_is_in_the_time_given(host: Host) -> None:
    statement = "fedmsg.publish(topic='x', msg={}, modname='m', timeout=0.5)"
    ran = run(host, CATCH.format(statement=statement, error="OSError"))
    assert ran.code == 5
    assert host.inbound in ran.stderr
    assert ran.within(0.5)


def test_a_message_that_cannot_be_json_is_an_error_of_the_caller(shared_bus: Bus) -> None:
    statement = "fedmsg.publish(topic='x', msg={'x': object()}, modname='m')"
    ran = run(shared_bus.host, CATCH.format(statement=statement, error="(TypeError, ValueError)"))
    assert ran.code == 5
    good: Message = envelope("org.example.good", 1)
    shared_bus.publisher.send(*good)
    shared_bus.listener.expect([good])


@pytest.mark.parametrize(
    "statement",
    [
        "fedmsg.init(name='relay_inbound', active=True)",
        "fedmsg.publish(topic='x', msg={}, modname='m')",
    ],
)
def test_a_config_that_wants_signing_without_a_certificate_sends_nothing(
    shared_bus: Bus, host: Host, statement: str
) -> None:
    host.configure([shared_bus.host.inbound], [shared_bus.host.outbound], sign_messages=True)
    code = CATCH.format(statement=f"{statement}; fedmsg.publish(topic='y', msg={{}})", error="ValueError")
    ran = run(host, code)
    assert ran.code == 5
    assert "cannot sign: certnames" in ran.stderr
    good: Message = envelope("org.example.good", 2)
    shared_bus.publisher.send(*good)
    shared_bus.listener.expect([good])


def test_a_timeout_may_be_as_long_as_one_likes(submit_bus: Bus) -> None:
    host = submit_bus.host
    for relay_submit in ([host.submit], []):
        host.configure(relay_submit=relay_submit)  # and no spool
        for timeout in ("3000000", "1e10", "float('inf')"):
            ran = run(host, f"import fedmsg_relay; fedmsg_relay.publish('x', {{}}, 'm', timeout={timeout})")
            assert (ran.code, ran.stderr) == (0, "")
        for timeout in ("3000000", "1e10"):
            ran = host.run("fedmsg-logger", "--message", "x", "--timeout", timeout)
            assert (ran.code, ran.stderr) == (0, "")
    assert len(published(submit_bus.listener, 10)) == 10
    assert host.run("fedmsg-relay", "probe", "--timeout", "3000000").code == 0


def test_a_hook_that_takes_the_topic_away_is_told_that_nothing_was_sent(shared_bus: Bus) -> None:
    statement = "fedmsg_relay.publish('x', {}, 'm', pre_fire_hook=lambda message: message.pop('topic'))"
    ran = shared_bus.host.run("python", "-c", f"import fedmsg_relay; {statement}")
    assert ran.code == 1
    assert "NotWellFormedError: not well-formed, not sent: 'topic'" in ran.stderr


def test_a_hook_may_take_the_msg_id_away(shared_bus: Bus) -> None:
    statement = "fedmsg_relay.publish('x', {}, 'm', pre_fire_hook=lambda message: message.pop('msg_id'))"
    ran = run(shared_bus.host, f"import fedmsg_relay; print({statement})")
    assert (ran.code, ran.stderr) == (0, "")
    assert "Receipt(msg_id=''" in ran.stdout
    ((_, body),) = published(shared_bus.listener, 1)
    assert "msg_id" not in body


MANY = """
import fedmsg_relay as fedmsg
for n in range(10_000):
    fedmsg.publish(topic='many', modname='test', msg=dict(n=n))
"""


def test_ten_thousand_publishes_of_one_script_arrive_in_order(shared_bus: Bus) -> None:
    ran = run(shared_bus.host, MANY)
    assert (ran.code, ran.stderr) == (0, "")
    messages = published(shared_bus.listener, 10_000)
    assert [body["msg"]["n"] for _, body in messages] == list(range(10_000))


AGAIN = """
import fedmsg_relay as fedmsg
for n in range(3):
    fedmsg.init(name='relay_inbound', active=True)
    fedmsg.publish(topic='again', modname='test', msg=dict(n=n))
    fedmsg.destroy()
"""


def test_after_destroy_it_can_be_initialised_again(shared_bus: Bus) -> None:
    ran = run(shared_bus.host, AGAIN)
    assert (ran.code, ran.stderr) == (0, "")
    assert [body["msg"]["n"] for _, body in published(shared_bus.listener, 3)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("ending", "code"),
    [("", 0), ("sys.exit(3)", 3), ("raise RuntimeError('after')", 1)],
    ids=["the end", "exit", "an exception"],
)
def test_a_message_arrives_however_the_script_ends(shared_bus: Bus, ending: str, code: int) -> None:
    text = f"import sys, fedmsg_relay as f\nf.publish(topic='x', modname='test', msg={{'n': 1}})\n{ending}\n"
    assert run(shared_bus.host, text).code == code
    assert [body["msg"] for _, body in published(shared_bus.listener, 1)] == [{"n": 1}]
