"""``fedmsg-logger``: one message from any shell script."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from typing import Any, NoReturn

from fedmsg_relay import config as global_config
from fedmsg_relay import errors

READ_BYTES = 65536
"""Bytes of stdin taken at once."""

_EPILOG = """\
examples:
  echo "Hai there." | fedmsg-logger --modname=git --topic=repo.update
  echo '{"a": 1}' | fedmsg-logger --json-input
  fedmsg-logger --message="This is a message."

Text becomes {"log": TEXT}, one message for each line of stdin; --json-input takes all of stdin as one JSON value.
The relay is found through relay_inbound in the global config (/etc/fedmsg.d/*.py and the other usual places).

exit codes:
  0 accepted by a relay, or spooled (stderr says so)   64 usage   65 not well-formed
  69 no relay and no spool   74 stdout is full   77 refused by policy   78 config
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise errors.UsageError(f"{message} (see fedmsg-logger --help)")


def main() -> NoReturn:
    """Run the command, and end the process with its exit code, of :mod:`fedmsg_relay.errors`."""
    gc.disable()  # a process this short makes no garbage worth looking for
    code = errors.run("fedmsg-logger", _run)
    sys.stderr.flush()
    # Everything is sent and flushed; taking the interpreter down in order costs more than sending did.
    os._exit(code)


def _run() -> int:
    options = vars(_parser().parse_args())
    timeout = options.pop("timeout", None)
    print_config = options.pop("print_config", False)
    message = options.pop("logger_message", "") or None  # as with stock an empty one does not count
    filename = options.pop("config_filename", None)
    with redirect_stdout(sys.stderr):  # what a config file prints is not the output of this command
        found = global_config.read([filename] if filename else None)
    config = {"cert_prefix": "shell", **found, **options}
    if print_config:
        try:
            print(json.dumps(config, indent=2, default=str))
        except (TypeError, ValueError, RecursionError) as error:
            raise errors.ConfigError(f"global config: cannot be printed as JSON: {error}") from error
        return errors.EX_OK
    from fedmsg_relay.publisher import DEFAULT_TIMEOUT, Publisher  # noqa: PLC0415 -- ZeroMQ is not needed for --help and --print-config

    publisher = Publisher(config, DEFAULT_TIMEOUT if timeout is None else timeout)
    topic, modname = config.get("topic", "log"), config.get("modname", "logger")
    json_input = bool(config.get("json_input", False))
    sent = spooled = 0
    fault: errors.RelayError | None = None
    try:
        for msgs in _messages(message, json_input):
            receipts, fault = publisher.publish_all(topic, msgs, modname)
            files = [receipt.spooled for receipt in receipts if receipt.spooled]
            sent += len(receipts) - len(files)
            spooled += len(files)
            if fault is not None:
                break
    except errors.RelayError as error:
        fault = error
    except BaseException:
        _close_after_fault(publisher)
        raise
    if fault is not None:
        _close_after_fault(publisher)
        if json_input or message is not None:
            raise fault
        line = sent + spooled + 1
        where = f"stopped at line {line} of stdin, before it {sent} were sent and {spooled} spooled"
        raise type(fault)(f"{fault}; {where}") from fault
    publisher.close()
    if spooled:
        errors.say(f"fedmsg-logger: {spooled} spooled, to be delivered when a relay takes them")
    return errors.EX_OK


def _close_after_fault(publisher: Any) -> None:
    """Send what was published before the fault; the fault is reported."""
    try:
        publisher.close()
    except errors.NoRelayError as error:
        errors.say(f"fedmsg-logger: {error}")


def _messages(message: str | None, json_input: bool) -> Iterator[list[Any]]:
    """Yield what to publish, from the command line or stdin, as it comes."""
    if json_input:
        yield [_parse(_all_of_stdin() if message is None else message.encode(errors="surrogateescape"))]
    elif message is not None:
        yield [{"log": _decode(message.encode(errors="surrogateescape"), "--message")}]
    else:
        for lines in _lines_as_they_come():
            texts = []
            for line in lines:
                try:
                    texts.append({"log": _decode(line, "the line").strip()})
                except errors.NotWellFormedError:
                    if texts:
                        yield texts  # what came before it is good
                    raise
            yield texts


def _lines_as_they_come() -> Iterator[list[bytes]]:
    """Yield the lines of stdin, all lines that are there at once together: each lot is sent in one round trip."""
    unfinished = bytearray()
    for chunk in _stdin():
        unfinished += chunk
        if b"\n" in chunk:
            *lines, rest = bytes(unfinished).split(b"\n")
            yield lines
            unfinished = bytearray(rest)
        else:
            _refuse_too_much(unfinished, "the line")
    if unfinished:
        yield [bytes(unfinished)]


def _all_of_stdin() -> bytes:
    data = bytearray()
    for chunk in _stdin():
        data += chunk
        _refuse_too_much(data, "the input")
    return bytes(data)


def _refuse_too_much(data: bytearray, what: str) -> None:
    """Stop at a size that no relay would take: the input may have no end."""
    if len(data) <= READ_BYTES:
        return
    from fedmsg_relay.message import DEFAULT_MAX_MESSAGE_SIZE  # noqa: PLC0415 -- after the connection has begun

    if len(data) > DEFAULT_MAX_MESSAGE_SIZE:
        raise errors.NotWellFormedError(f"{what} is larger than {DEFAULT_MAX_MESSAGE_SIZE >> 20} MiB, not sent")


def _stdin() -> Iterator[bytes]:
    """Yield what stdin has, as it comes."""
    descriptor = sys.stdin.fileno()
    while True:
        try:
            chunk = os.read(descriptor, READ_BYTES)
        except BlockingIOError:  # the program that started this one made it so
            import select  # noqa: PLC0415 -- seldom needed

            select.select([descriptor], [], [])
            continue
        except OSError as error:
            raise errors.NotWellFormedError(f"stdin cannot be read: {error.strerror}") from error
        if not chunk:
            return
        yield chunk


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data.decode())
    except UnicodeDecodeError as error:
        raise errors.NotWellFormedError(f"input is not UTF-8: {error}") from error
    except ValueError as error:
        raise errors.NotWellFormedError(f"input is not JSON: {error}") from error
    except RecursionError as error:
        raise errors.NotWellFormedError("input is nested too deep") from error


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise errors.NotWellFormedError(f"{where} is not UTF-8, not sent: {error}") from error


def seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (value := float(text)) < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")


def number(key: str) -> Callable[[str], int]:
    """Take a number from the command line that the config may hold under the key."""

    def number(text: str) -> int:
        accepted = global_config.NUMBERS[key]
        with suppress(ValueError):
            if (value := int(text)) in accepted:
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {accepted[0]} to {accepted[-1]}")

    return number


def _parser() -> argparse.ArgumentParser:
    """Stock's options; what is not given on the command line is left to the config, as stock does."""
    parser = _Parser(
        prog="fedmsg-logger",
        description="Emit log messages to the fedmsg bus, through the relay.",
        epilog=_EPILOG,
        # With its width given, argparse has no need to load what finds it out.
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=100),
        argument_default=argparse.SUPPRESS,
    )
    message = parser.add_argument_group("the message")
    message.add_argument(
        "--message", dest="logger_message", metavar="TEXT", help="the message to send, instead of stdin"
    )
    message.add_argument("--json-input", action="store_true", help="the input is one JSON value")
    message.add_argument("--topic", help="the last part of the topic (default: log)")
    message.add_argument("--modname", help="the part of the topic before the last one (default: logger)")
    message.add_argument(
        "--cert-prefix",
        metavar="PREFIX",
        help="sign with the certificate of this prefix (default: from the config, else shell)",
    )
    message.add_argument(
        "--topic-prefix", metavar="PREFIX", help="the first part of its topic (default: from the config)"
    )
    common = parser.add_argument_group("how to send it")
    common.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="maximum time in seconds for messages that are sent together (default: 10; with a spool 2)",
    )
    common.add_argument("--config-filename", metavar="FILE", help="read this config file instead of the usual places")
    common.add_argument("--print-config", action="store_true", help="print the merged config and exit")
    common.add_argument(
        "--high-water-mark",
        type=number("high_water_mark"),
        metavar="N",
        help="maximum number of messages that wait to be sent",
    )
    common.add_argument("--io-threads", type=number("io_threads"), metavar="N", help="number of ZeroMQ I/O threads")
    common.add_argument(
        "--linger",
        dest="zmq_linger",
        type=int,
        metavar="MS",
        help="accepted as by stock, without effect: --timeout is the maximum time",
    )
    common.add_argument(
        "--post-init-sleep",
        type=float,
        metavar="SECONDS",
        help="accepted as by stock, without effect: this command does not sleep",
    )
    return parser
