"""A name server that does not answer: every stated time holds, and a relay whose name is known takes the messages."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from bus import StartBus
from fedmsg_relay.errors import EX_CONFIG, EX_UNAVAILABLE
from harness import BUSY, Host, wait_until
from relays import Relay
from resolver import Resolver
from spooled import waiting

SILENT = "tcp://silent.example.org"


@pytest.fixture
def resolver(host: Host) -> Iterator[Resolver]:
    with contextlib.closing(Resolver(host)) as resolver:
        yield resolver


def configure(host: Host, endpoint: str, *addresses: str, spool: bool = False) -> None:
    host.configure_submit(list(addresses), spool=None if spool else "")
    if endpoint == "inbound":
        host.configure(inbound=list(addresses), relay_spool=str(host.spool) if spool else "")


@pytest.mark.parametrize("endpoint", ["submit", "inbound"])
def test_the_logger_gives_up_in_its_time_and_names_the_name(host: Host, resolver: Resolver, endpoint: str) -> None:
    configure(host, endpoint, f"{SILENT}:9942")
    ran = resolver.run("fedmsg-logger", "--message=x", "--timeout=1")
    assert ran.code == EX_UNAVAILABLE
    assert "the name silent.example.org did not resolve in time" in ran.one_error_line()
    assert ran.within(1)
    assert resolver.asked()


@pytest.mark.parametrize("endpoint", ["submit", "inbound"])
def test_the_logger_spools_in_its_time(host: Host, resolver: Resolver, endpoint: str) -> None:
    configure(host, endpoint, f"{SILENT}:9942", spool=True)
    ran = resolver.run("fedmsg-logger", "--message=x")
    assert (ran.code, len(waiting(host))) == (0, 1)
    assert ran.within(2)


@pytest.mark.parametrize("endpoint", ["submit", "inbound"])
def test_a_second_relay_takes_what_the_first_ones_name_keeps_from_it(
    host: Host, resolver: Resolver, start_bus: StartBus, endpoint: str
) -> None:
    host.configure_submit()
    bus = start_bus()
    second = getattr(host, endpoint)
    configure(host, endpoint, f"{SILENT}:9942", second, spool=True)
    ran = resolver.run("fedmsg-logger", "--message=second")
    assert (ran.code, ran.stderr, waiting(host)) == (0, "", [])
    assert ran.within(1)
    wait_until(lambda: any(b"second" in body for _, body in bus.listener.hear(0.1)), "the message")


SCRIPT = """
import sys, time
import fedmsg_relay
started = time.monotonic()
try:
    fedmsg_relay.publish('t', {}, 'm', timeout=1)
except OSError as error:
    print(error, file=sys.stderr)
published = time.monotonic()
if DESTROY:
    fedmsg_relay.destroy()
print(published - started, time.monotonic() - published)
"""


@pytest.mark.parametrize("endpoint", ["submit", "inbound"])
@pytest.mark.parametrize("destroy", [True, False], ids=["destroy", "just ending"])
def test_publish_destroy_and_the_end_of_a_script_wait_for_no_name_server(
    host: Host, resolver: Resolver, endpoint: str, destroy: bool
) -> None:
    configure(host, endpoint, f"{SILENT}:9942")
    ran = resolver.run("python", "-c", SCRIPT.replace("DESTROY", str(destroy)))
    assert ran.code == 0
    assert "did not resolve in time" in ran.one_error_line()
    publishing, destroying = map(float, ran.stdout.split())
    assert publishing < 1 + BUSY
    assert destroying < BUSY
    assert ran.within(1)


def test_a_name_that_is_unknown_is_said_to_be(host: Host, resolver: Resolver) -> None:
    resolver.close()  # now the kernel says that nobody is there
    configure(host, "submit", f"{SILENT}:9942")
    ran = resolver.run("fedmsg-logger", "--message=x", "--timeout=1")
    assert ran.code == EX_UNAVAILABLE
    assert "the name silent.example.org does not resolve: " in ran.one_error_line()
    assert ran.within(1)


def test_an_address_of_a_name_that_does_not_answer_is_followed_by_the_next(
    host: Host, resolver: Resolver, start_bus: StartBus
) -> None:
    host.configure_submit()
    start_bus()
    port = host.submit.rpartition(":")[2]
    host.write("etc/hosts", "192.0.2.1 relay.example.org\n127.0.0.1 relay.example.org\n")
    configure(host, "submit", f"tcp://relay.example.org:{port}")
    ran = resolver.run("fedmsg-logger", "--message=x")
    assert (ran.code, ran.stderr) == (0, "")


MOVED = """
import sys
import fedmsg_relay
for line in sys.stdin:
    print(fedmsg_relay.publish('t', {'n': line.strip()}, 'm').address, flush=True)
"""


def test_a_long_running_publisher_looks_the_name_of_a_lost_relay_up_again(host: Host, resolver: Resolver) -> None:
    """The relay restarts under another address of the same name and port."""
    port = host.port()
    name = f"tcp://relay.example.org:{port}"
    host.configure_submit([name])
    with contextlib.closing(Relay(host)) as relay, contextlib.ExitStack() as stack:
        script = None
        for n, address in enumerate(("127.0.0.2", "127.0.0.3")):
            bound = (
                f'submit = ["tcp://{address}:{port}"]\ninbound = ["{host.inbound}"]\noutbound = ["{host.outbound}"]\n'
            )
            host.settings_file.write_text(f"[bind]\n{bound}")
            resolver.know(**{"relay.example.org": address})
            relay.start()
            script = script or stack.enter_context(host.piped(*resolver.wrap("python", "-c", MOVED)))
            script.write(f"{n}\n".encode())
            script.flush()
            wait_until(lambda: relay.messages()["received"] == 1, f"message {n} at {address}")
            relay.stop()
    assert waiting(host) == []


def test_a_probe_takes_its_time_and_names_the_name(resolver: Resolver) -> None:
    options = [f"--inbound={SILENT}:9941", f"--outbound={SILENT}:3999", "--timeout=1"]
    ran = resolver.run("fedmsg-relay", "probe", *options)
    assert ran.code == 2
    assert ran.stdout.count("the name silent.example.org did not resolve in time") == 2
    assert ran.within(2)


START_SECONDS = 8.0
"""As docs/commands.md states it."""


def test_a_start_without_an_answer_about_its_names_ends_in_its_time(host: Host, resolver: Resolver) -> None:
    host.configure(
        [f"{SILENT}:{host.port()}", "tcp://other.example.org:9941"],
        f"tcp://third.example.org:{host.port()}",
        relay_submit=f"tcp://fourth.example.org:{host.port()}",
    )
    for command, code in ((["fedmsg-relay"], EX_UNAVAILABLE), (["fedmsg-relay", "check-config"], EX_CONFIG)):
        ran = resolver.run(*command)
        assert ran.code == code
        assert "the name silent.example.org did not resolve in time" in ran.one_error_line()
        assert ran.within(START_SECONDS)


def test_a_chained_relay_starts_whatever_the_name_of_its_upstream_does(host: Host, resolver: Resolver) -> None:
    host.configure_submit()
    upstream = 'submit = ["tcp://silent.example.org:9942"]\noutbound = ["tcp://silent.example.org:3999"]\n'
    host.settings_file.write_text(f"[upstream]\n{upstream}")
    ran = resolver.run("fedmsg-relay", "check-config", "--settings", host.settings_file, "--json")
    assert ran.code == 0, ran.stderr
    assert json.loads(ran.stdout)["upstream"] == [["tcp://silent.example.org:9942", "tcp://silent.example.org:3999"]]
    assert ran.within(START_SECONDS)
