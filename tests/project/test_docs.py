"""The docs say what the program does: lists and numbers that stand in both are compared."""

from __future__ import annotations

import ast
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from bus import Bus
from documented import BIN, first_column, page, prose, section
from fedmsg_relay import body, errors, message, publisher, spool, submit, tailing
from fedmsg_relay.chain.link import ANSWER_SECONDS
from fedmsg_relay.commands import deliver, undeliverable
from fedmsg_relay.daemon import (
    accounting,
    admission,
    listener_wait,
    publishing,
    rate,
    republishing,
    screening,
    settings,
)
from fedmsg_relay.journal import position, quarantine, retention, room, window
from fedmsg_relay.network import counts, health, outbound
from fedmsg_relay.runtime import limits, log
from fedmsg_relay.trust import authority, reasons
from fedmsg_relay.web import limits as web_limits
from fedmsg_relay.web import query
from wire import accepted


def test_the_reasons_to_drop_a_message() -> None:
    documented = first_column(section(page("docs/protocol.md"), "## What is dropped, and why"))
    assert documented == [reason.value for reason in message.Reason]
    documented = first_column(section(page("docs/protocol.md"), "## Signatures"))
    assert documented == [reason.value for reason in reasons.Reason]


def test_the_reasons_to_refuse_a_batch() -> None:
    documented = first_column(section(page("docs/submit.md"), "## Reply"))
    refusing = [reason.value for reason in reasons.Reason if reason is not reasons.Reason.TRUST_UNUSABLE]
    assert documented == [*submit.CODES, *refusing]


def test_the_counters() -> None:
    told = section(page("docs/journal.md"), "## The counters")
    identities = [line.strip() for line in told.splitlines() if line.startswith("    ") and "=" in line]
    module = (accounting.__doc__ or "").splitlines()
    assert identities == [line.strip() for line in module if line.startswith("    ") and "=" in line]
    assert set(re.findall(r"\w+", " ".join(identities))) == {field.name for field in fields(accounting.Counts)}


def test_the_fields_of_a_receipt() -> None:
    python = section(page("docs/commands.md"), "## From Python")
    documented = first_column(python.split("| field of a `Receipt` |")[1])
    assert documented == list(publisher.Receipt._fields)


def test_the_exit_codes() -> None:
    documented = first_column(section(page("docs/commands.md"), "## Exit codes"))
    assert documented == [str(code) for name, code in vars(errors).items() if name.startswith("EX_")]


def test_the_keys_of_relay_toml() -> None:
    documented = first_column(section(page("docs/settings.md"), "## relay.toml"))
    assert documented == [f"{table}.{key}" for table, keys in settings.accepted().items() for key in keys]


def test_the_example_of_relay_toml_is_accepted(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.+?)```", page("docs/settings.md"), re.DOTALL)
    assert example
    (tmp_path / "relay.toml").write_text(example[1], encoding="utf-8")
    assert settings.load(tmp_path / "relay.toml") != settings.Settings()


def test_the_refusal_of_a_key_of_relay_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("relay.toml").write_text("[limits]\nspeed = 1\n", encoding="utf-8")
    with pytest.raises(errors.ConfigError) as refused:
        settings.load(Path("relay.toml"))
    assert f"    fedmsg-relay: {refused.value}\n" in page("docs/settings.md")


def test_the_limits() -> None:
    protocol, keys, readme = prose("docs/protocol.md"), prose("docs/settings.md"), prose("README.md")
    assert f"more than {message.MAX_NESTING} levels" in protocol
    assert f"at most {message.MAX_NESTING} levels" in protocol
    assert f"at most {body.MAX_DIGITS} digits" in protocol
    assert f"{message.DEFAULT_MAX_MESSAGE_SIZE // 2**20} MiB" in protocol
    assert f"more than {limits.MIN_CUT_BYTES >> 20} MiB, or {limits.CUT_FACTOR} times the limit" in protocol
    assert f"| `limits.max_message_size` | `{message.DEFAULT_MAX_MESSAGE_SIZE}` |" in keys
    assert f"beyond {outbound.SEND_QUEUE:,} messages" in readme


def test_what_one_peer_may_cost() -> None:
    told = page("docs/protocol.md")
    for row in (
        f"| bytes of one message | {limits.MIN_CUT_BYTES >> 20} MiB, or {limits.CUT_FACTOR} times the size limit |",
        f"| frames of one message | {limits.MAX_FRAMES:,} |",
        f"| bytes of a submitted batch | {limits.MIN_REQUEST_BYTES >> 20} MiB, or the size limit |",
        f"| unfinished messages at an endpoint | {limits.HELD_BYTES >> 20} MiB together | only the message that began ",
        f"first is read on, and up to {limits.UNHELD_BYTES >> 10} KiB of each other; a peer that others wait for ",
        f"is cut when it is silent for {limits.STALLED_SECONDS:g} s or takes {limits.UNFINISHED_SECONDS:g} s |",
        f"| a handshake | {limits.GREETING_BYTES >> 10} KiB and {limits.GREETING_SECONDS:g} s |",
        f"| requests of one submitter that wait for their turn | {limits.WAITING_REQUESTS}, and while there are others "
        f"{limits.BACKLOG_BYTES >> 21} MiB of all that wait |",
        f"| answers that a peer leaves unread | {limits.UNREAD_BYTES >> 10} KiB beyond",
        f"| {limits.LISTENER_BYTES >> 20} MiB, and {limits.LISTENER_BYTES_A_SECOND >> 10} KiB more for each second |",
        f"less {limits.RESERVED_FILES} |",
        f"silent longest, for {limits.SILENT_SECONDS:g} s at least",
        f"{limits.TURN_MESSAGES:,} messages, {limits.TURN_FRAMES:,} frames or {limits.TURN_BYTES >> 20} MiB from each "
        "endpoint",
    ):
        assert row in told
    assert limits.ADDRESS_SHARE == 0.5
    assert f"more than {limits.BACKLOG_BYTES >> 20} MiB of submitted batches wait" in prose("docs/submit.md")


def test_the_rate_and_the_addresses_that_are_counted() -> None:
    told = prose("docs/settings.md")
    assert f"after some silence {rate.BURST_SECONDS:g} s worth of them ({20 * rate.BURST_SECONDS:g}) at once" in told
    assert f"knows the {rate.ADDRESSES:,} addresses" in told
    assert counts.MOST == 5
    assert "the five addresses that publish most" in told
    assert "the five IP addresses that sent most" in prose("docs/commands.md")
    assert f"and {rate.BURST_SECONDS:g} s worth of it at once" in page("docs/protocol.md")


def test_the_times_of_the_trust_page() -> None:
    told = prose("docs/trust.md")
    assert f"From {authority.WARN_SECONDS / 86400:g} days before" in told
    assert authority.LOOK_SECONDS < 2, "the page says: within two seconds"
    assert f"Among the last {retention.DEDUP_WINDOW:,} messages" in told


def test_the_limits_of_submit() -> None:
    told = prose("docs/submit.md")
    assert f"up to {submit.MAX_MESSAGES} messages" in told
    assert f"more than {submit.MAX_MESSAGES} messages" in told
    assert f"`{submit.VERSION.decode()}`" in told
    assert f"at most {message.DEFAULT_MAX_MESSAGE_SIZE >> 20} MiB" in told
    assert f"above {limits.MIN_CUT_BYTES >> 20} MiB, or {limits.CUT_FACTOR} times" in told
    assert f"the last {retention.DEDUP_WINDOW:,} messages" in told
    assert f'"retry_after": {admission.FAULT_RETRY_AFTER}' in told
    assert f"at most {message.MAX_MSG_ID} ASCII characters" in told


@pytest.mark.parametrize("name", ["README.md", "docs/journal.md"])
def test_the_dedup_window_and_the_wait_for_listeners(name: str) -> None:
    assert f"the last {retention.DEDUP_WINDOW:,} messages" in prose(name)
    assert f"{listener_wait.WAIT_SECONDS} s" in prose(name)


def test_the_times_of_health_and_the_room_of_the_log() -> None:
    told = prose("docs/commands.md")
    assert f"Every {health.INTERVAL_SECONDS:g} s the relay connects" in told
    assert f"no new connection is answered for {health.FAULT_SECONDS:g} s" in told
    assert f"after {health.FATAL_SECONDS:g} s systemd's watchdog" in told
    assert f"Lines wait, up to {log.ROOM_BYTES >> 20} MiB" in prose("docs/sop.md")


def test_the_limits_of_journal_and_spool() -> None:
    told, keys = prose("docs/journal.md"), prose("docs/settings.md")
    defaults = retention.Retention()
    assert f" keep_days = {defaults.keep_days} keep_bytes = {defaults.keep_bytes} " in told
    assert f"| `journal.keep_days` | `{defaults.keep_days}` |" in keys
    assert f"| `journal.keep_bytes` | `{defaults.keep_bytes}` |" in keys
    kept = f"newest {quarantine.ROWS:,} dropped messages, and up to {quarantine.FRAME_BYTES // 1024} KiB"
    assert kept in told
    assert f"each kind {quarantine.ROWS:,} messages in a tenth of `keep_bytes`" in told
    assert f"(at most {quarantine.MOST_WHOLE_BYTES >> 20} MiB)" in told
    assert (quarantine.SHARE, quarantine.MOST_BYTES >> 20) == (10, 16), "a tenth of `keep_bytes` (at most 16 MiB)"
    assert "a tenth of `keep_bytes` (at most 16 MiB)" in told
    assert "a tenth of it (at most 16 MiB) for the quarantine" in keys
    assert room.WANTED_SHARE == 4, "a quarter"
    assert f"a quarter of the disk (at most {room.WANTED_BYTES >> 20} MiB)" in told
    assert f"with {room.RESERVE >> 10} KiB to spare. Below {room.SHORT >> 20} MiB the WAL" in told
    assert f"The format is {position.FORMAT}." in told
    assert f"Of one `msg_id` the first and the newest {window.NAMESAKES - 1} messages" in prose("docs/submit.md")
    assert f"queue of {outbound.SEND_QUEUE:,} messages" in told
    assert f"Each user may have {spool.MAX_FILES:,} messages or {spool.MAX_BYTES // 2**30} GiB waiting" in told
    assert f"holds {undeliverable.MAX_FILES} files and {undeliverable.MAX_BYTES >> 20} MiB at most" in told
    assert f"file of more than {undeliverable.MAX_FILE_BYTES >> 20} MiB" in told
    assert f"turns with {deliver.LOT} messages each" in told
    assert f"takes a message within {publisher.SPOOL_AFTER:g} s" in told
    for name in ("docs/journal.md", "docs/settings.md", "docs/commands.md"):
        assert f"`{spool.DIRECTORY}" in page(name)


def test_the_times_of_trust() -> None:
    assert f"within {authority.LOOK_SECONDS + screening.LOOK_SECONDS:g} s" in prose("docs/protocol.md")
    assert f"{authority.WARN_SECONDS / 86400:g} days before" in prose("docs/commands.md")


def test_what_may_come_out_twice_of_a_chained_relay() -> None:
    told = prose("docs/chained.md")
    assert f"{2 * (limits.ECHO_MESSAGES + limits.FORWARD_MESSAGES):,} messages at most" in told
    assert f"{publishing.MOST_TWICE:,} messages at most" in told
    assert f"at most {publishing.MOST_TWICE:,}, those of the last {2 * publishing.LOOK_SECONDS} s" in prose(
        "docs/journal.md"
    )
    assert f"or else {republishing.ECHO_SECONDS:g} s" in told
    assert f"up to {limits.UNJOURNALED_MESSAGES:,} messages" in told
    assert f"within {ANSWER_SECONDS:g} s" in told


def test_the_limits_of_the_web_process() -> None:
    told = prose("docs/web.md")
    for words in (
        f"at most {web_limits.PAGE_ROWS} |",
        f"at most {web_limits.SCANNED_ROWS:,} of them, {web_limits.SCANNED_BYTES >> 20} MiB of bodies and "
        f"{web_limits.SCAN_SECONDS:g} s",
        f"With `end` alone it is {query.WINDOW_SECONDS:g}",
        f"from 1; {query.ROWS_PER_PAGE} rows",
        f"{web_limits.CONNECTIONS}, of which {web_limits.ADDRESS_CONNECTIONS} of one IP address",
        f"{web_limits.REQUEST_BYTES >> 10} KiB, within {web_limits.REQUEST_SECONDS:g} s",
        f"{web_limits.READ_SECONDS:g} s, in one of {web_limits.READERS} threads, for which a request waits "
        f"{web_limits.TURN_SECONDS:g} s",
        f"text have {web_limits.SEARCHERS} threads of their own",
        f"{web_limits.ANSWER_SECONDS:g} s; a client that reads nothing for {web_limits.UNREAD_SECONDS:g} s is cut",
        f"{web_limits.CHUNK_BYTES >> 10} KiB of messages; a larger message is read in parts of that size",
        f"port {tailing.PORT}",
        f"at most {web_limits.LINES:,} messages",
        f"or {web_limits.SCANNED_ROWS:,} that were looked at, or {web_limits.SCAN_SECONDS:g} s",
        f"A topic of more than {web_limits.SHOWN_TOPIC_BYTES >> 10} KiB is cut",
        f"Every {web_limits.KEEP_ALIVE_SECONDS:g} s without a message",
        f"The {web_limits.LAGGARDS} that lost most",
        f"more than {web_limits.WAL_BYTES >> 20} MiB, all readers pause for {web_limits.PAUSE_SECONDS:g} s",
        f"| live streams | {web_limits.STREAMS}, of which {web_limits.ADDRESS_STREAMS} of one IP address;",
        f"among its last {tailing.REMEMBERED:,}",
        f"may differ by {tailing.OVERLAP_SECONDS:g} s",
    ):
        assert words in told


def test_the_example_in_submit_md_gets_its_receipt_or_gives_up(submit_bus: Bus) -> None:
    example = re.search(r"```python\n(.+?)```", page("docs/submit.md"), re.DOTALL)
    assert example
    before = submit_bus.relay.status()["journal"]["last"]
    code = example[1].replace("tcp://busgateway01.example.org:9942", submit_bus.host.submit).replace("5000", "1000")
    ran = submit_bus.host.run("python", "-c", code)
    assert (ran.code, ran.stderr) == (0, "")
    assert ast.literal_eval(ran.stdout) == accepted(before + 1, before + 1)
    submit_bus.relay.stop()
    ran = submit_bus.host.run("python", "-c", code)
    assert (ran.code, ran.stdout, ran.stderr) == (1, "", "no reply\n")


@pytest.mark.parametrize(
    ("heading", "command"),
    [
        ("## fedmsg-relay", ["fedmsg-relay"]),
        ("### check-config", ["fedmsg-relay", "check-config"]),
        ("### status", ["fedmsg-relay", "status"]),
        ("### probe", ["fedmsg-relay", "probe"]),
        ("### endpoints", ["fedmsg-relay", "endpoints"]),
        ("### trace", ["fedmsg-relay", "trace"]),
        ("### expect", ["fedmsg-relay", "expect"]),
        ("### web", ["fedmsg-relay", "web"]),
        ("### bridge", ["fedmsg-relay", "bridge"]),
        ("### bridge status", ["fedmsg-relay", "bridge", "status"]),
        ("### bridge acknowledge", ["fedmsg-relay", "bridge", "acknowledge"]),
        ("### bridge retry", ["fedmsg-relay", "bridge", "retry"]),
        ("### tail", ["fedmsg-relay", "tail"]),
        ("### journal ls", ["fedmsg-relay", "journal", "ls"]),
        ("### journal show", ["fedmsg-relay", "journal", "show"]),
        ("### journal tail", ["fedmsg-relay", "journal", "tail"]),
        ("### journal export", ["fedmsg-relay", "journal", "export"]),
        ("### journal waiting", ["fedmsg-relay", "journal", "waiting"]),
        ("### journal convert", ["fedmsg-relay", "journal", "convert"]),
        ("### journal quarantine", ["fedmsg-relay", "journal", "quarantine"]),
        ("### journal release", ["fedmsg-relay", "journal", "release"]),
        ("### journal check", ["fedmsg-relay", "journal", "check"]),
        ("### spool ls", ["fedmsg-relay", "spool", "ls"]),
        ("### spool deliver", ["fedmsg-relay", "spool", "deliver"]),
        ("## fedmsg-logger", ["fedmsg-logger"]),
        ("## fedmsg-spool", ["fedmsg-spool"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_options_of(heading: str, command: list[str]) -> None:
    told = subprocess.run(
        [BIN / command[0], *command[1:], "--help"], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    # Up to the first subcommand, which has a section of its own.
    documented = section(page("docs/commands.md"), heading).split("\n### ")[0]
    # What the page says once: every command takes --config-filename, and those of the journal take --journal.
    everywhere = {"--help", "--config-filename", "--journal"}
    options = r"(?<![\w-])--[a-z][a-z-]+"
    shown = {*re.findall(options, documented.split("\n    $")[0]), *everywhere}
    assert shown == set(re.findall(options, re.split(r"\n(?:examples:|  git )", told)[0])) | everywhere
