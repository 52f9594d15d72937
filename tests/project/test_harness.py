"""The harness itself: its promises are what makes a green test mean something."""

from __future__ import annotations

import contextlib
import json

import pytest
import zmq

import stock
from bus import join
from harness import REPOSITORY, Host, wait_until
from messages import numbered
from wire import Sockets, end_context


def test_a_leaked_socket_fails_the_test_instead_of_hanging_it() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    leaked = context.socket(zmq.PUB)
    with pytest.raises(AssertionError, match="left open"):
        end_context(context, timeout=0.2)
    leaked.close(0)


def test_a_wait_ends_and_says_what_was_awaited() -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.1 s: the moon"):
        wait_until(lambda: False, "the moon", timeout=0.1)


def test_an_expectation_names_the_first_message_that_differs(host: Host, sockets: Sockets) -> None:
    stock.StockRelay(host)
    publisher, listener = sockets.publisher(host.inbound), sockets.listener(host.outbound)
    join(publisher, listener)
    sent = numbered(3)
    publisher.send_all([sent[0], sent[2]])
    with pytest.raises(AssertionError, match="at 1"):
        listener.expect(sent, timeout=0.5)


def test_stock_fedmsg_works_by_itself_here(host: Host, sockets: Sockets) -> None:
    stock.StockRelay(host)
    publisher, listener = sockets.publisher(host.inbound), sockets.listener(host.outbound)
    tail = stock.StockTail(host)
    join(publisher, listener, tail)
    stock.logger(host, "--message", "hello")
    wait_until(lambda: listener.hear(0.1), "stock's own message")
    ((topic, body),) = listener.messages
    assert topic == b"org.fedoraproject.test.logger.log"
    assert json.loads(body)["msg"] == {"log": "hello"}
    tail.expect([(topic, body)])


def test_a_port_of_the_host_is_not_found_free_by_others(host: Host) -> None:
    with contextlib.closing(Host()) as other:
        ports = {host.port(), host.port(), other.port(), other.port()}
    assert len(ports) == 4


SKIPS = {
    "a test": ("def test_a(): pytest.skip('why not')\n", "test_it.py::test_a"),
    "a test by its mark": ("@pytest.mark.skipif(True, reason='why not')\ndef test_a(): pass\n", "test_it.py::test_a"),
    "a file": ("pytest.skip('why not', allow_module_level=True)\n", "test_it.py"),
}


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("kind", SKIPS)
def test_ci_does_not_accept_a_skipped_test(host: Host, kind: str, workers: str, ci: str, code: int) -> None:
    skip, named = SKIPS[kind]
    host.write("conftest.py", (REPOSITORY / "tests" / "conftest.py").read_text())
    host.write("test_it.py", f"import pytest\n{skip}def test_b(): pass\n")
    host.write("test_other.py", "def test_c(): pass\n")
    options = ["-p", "no:cacheprovider", f"--numprocesses={workers}"]
    path = f"{REPOSITORY / 'tests' / 'support'}:{REPOSITORY / 'script'}"
    ran = host.run("pytest", *options, env={"CI": ci, "PYTHONPATH": path})
    assert ran.code == code, ran.stdout + ran.stderr
    assert (f"which CI does not allow: {named}" in ran.stdout) == bool(code)
