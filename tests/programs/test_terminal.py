"""The output of commands: right in any locale, and safe on a terminal whatever text a peer sent."""

from __future__ import annotations

import os
import subprocess

import pytest

from bus import Bus
from harness import PATIENCE, Host, Ran, locate
from messages import Message
from spooled import deliver, message, put

LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
}
FOREIGN: Message = ("org.тема.é".encode(), '{"msg_id": "2026-foreign", "a": "é😀"}'.encode())
COMMANDS = [
    *(["ls"], ["ls", "--json"], ["show", "2026-foreign"], ["show", "--json", "2026-foreign"], ["tail"], ["export"]),
    *(["quarantine"], ["quarantine", "--json"], ["check"]),
]


@pytest.mark.parametrize("locale", LOCALES)
def test_every_journal_command_prints_in_any_locale(shared_bus: Bus, locale: str) -> None:
    shared_bus.publisher.send(*FOREIGN)
    shared_bus.publisher.send("тема".encode(), "no JSON é".encode())
    shared_bus.listener.expect([FOREIGN])
    for command in COMMANDS:
        ran = shared_bus.host.run("fedmsg-relay", "journal", *command, env=LOCALES[locale])
        assert (ran.code, ran.stderr) == (0, ""), command
    ran = shared_bus.host.run("fedmsg-relay", "journal", "tail", "-n", "1", env=LOCALES[locale])
    assert r"org.\u0442\u0435\u043c\u0430." in ran.stdout


@pytest.mark.parametrize("locale", LOCALES)
def test_every_other_command_prints_in_any_locale(shared_bus: Bus, locale: str) -> None:
    host = shared_bus.host
    odd = host.write("конфиг-é.py", (host.directory / "fedmsg.d" / "relay.py").read_text())
    spool = host.directory / "спул"
    spool.mkdir(exist_ok=True)
    (spool / "1.msg").write_bytes(b"garbage")
    config = ["--config-filename", odd]
    for command, code in (
        (["fedmsg-relay", "check-config", *config], 0),
        (["fedmsg-relay", "endpoints", "--shell", *config], 0),
        (["fedmsg-relay", "status"], 0),
        (["fedmsg-relay", "probe", *config], 0),
        (["fedmsg-relay", "spool", "ls", "--spool", spool, *config], 0),
        (["fedmsg-relay", "spool", "deliver", "--spool", spool, *config], 65),
        (["fedmsg-relay", "journal", "show", "тема"], 64),
        (["fedmsg-logger", "--print-config", *config], 0),
        (["fedmsg-logger", "--config-filename", "нет"], 78),
        (["fedmsg-logger", "--тема"], 64),
    ):
        ran = host.run(*command, env=LOCALES[locale])
        assert ran.code == code, ran.stderr
        assert len(ran.stderr.splitlines()) == (code > 0), ran.stderr


def test_a_message_is_found_by_a_name_that_is_not_text(shared_bus: Bus) -> None:
    ran = shared_bus.host.run("fedmsg-relay", "journal", "show", os.fsdecode(b"\xff"))
    assert (ran.code, len(ran.stderr.splitlines())) == (64, 1)


# What peers say.

STEERING = "\x1b[2J\x9b2J\x85\u202egnp\u2066x\r"
"""ESC, CSI as one character, a C1 line end, the bidi controls that show text in another order, and a return."""


def on_terminal(host: Host, *command: str) -> str:
    """What a command prints on a terminal."""
    ours, its = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            [locate(command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=its,
            cwd=host.directory,
            env=host.environment(),
        )
        os.close(its)
        printed = b""
        try:
            while data := terminal.read(65536):
                printed += data
        except OSError:  # the error of a terminal that no process has open any more
            pass
        assert process.wait(PATIENCE) == 0
    return printed.decode().replace("\r\n", "\n")


def test_on_a_terminal_a_body_is_shown_with_control_characters_escaped(shared_bus: Bus) -> None:
    body = f'{{"msg_id": "2026-steers",\n\t"a": "é😀{STEERING}"}}'.replace("\x1b", "").replace("\r", "").encode()
    shared_bus.publisher.send(b"org.example.steers", body)
    shared_bus.listener.expect([(b"org.example.steers", body)])
    shown = on_terminal(shared_bus.host, "fedmsg-relay", "journal", "show", "2026-steers")
    assert shown == '{"msg_id": "2026-steers",\n\t"a": "é😀[2J\\x9b2J\\x85\\u202egnp\\u2066x"}\n'
    elsewhere = shared_bus.host.run("fedmsg-relay", "journal", "show", "2026-steers")
    assert elsewhere.stdout.encode() == body + b"\n", "byte for byte"


@pytest.mark.parametrize("command", ["ls", "tail", "quarantine", "status"])
def test_text_of_a_peer_steers_no_terminal_and_stays_in_its_line(shared_bus: Bus, command: str) -> None:
    topic = f"org.{STEERING}"
    shared_bus.publisher.send(topic.encode(), b"{}")
    shared_bus.publisher.send(topic.encode(), STEERING.encode())
    shared_bus.listener.expect([(topic.encode(), b"{}")])
    arguments = [command] if command == "status" else ["journal", command]
    lines = on_terminal(shared_bus.host, "fedmsg-relay", *arguments).splitlines()
    assert [line for line in lines if not line.isprintable()] == []


def test_text_in_the_spool_steers_no_terminal(lonely: Host) -> None:
    put(lonely, message("x"), f"{STEERING}.msg")
    put(lonely, message("x").replace(b"message", f"letter{STEERING}".encode()), f"{0:020d}-1-1.msg")
    assert on_terminal(lonely, "fedmsg-relay", "spool", "ls").splitlines() == ["1 waiting", f"{0:020d}-1-1.msg"]
    ran: Ran = deliver(lonely)
    assert [line for line in ran.stderr.splitlines() if not line.isprintable()] == []
    refused = lonely.run("fedmsg-logger", "--config-filename", STEERING)
    assert refused.one_error_line().isprintable()
