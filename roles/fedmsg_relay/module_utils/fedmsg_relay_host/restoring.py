"""Lets the relay run again that ran before a change that did not prove itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .command import Run, attempt
from .files import Files, Item
from .relay import SERVICE
from .systemd import Unit


@dataclass(frozen=True)
class Stock:
    """A stock relay that ours was to replace.

    Attributes:
        unit: whether it has a unit.
        absent: the role's files in its place.
        copies: pairs of a copy of its file, and the path of the file.
    """

    unit: bool = False
    absent: Sequence[str] = ()
    copies: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Before:
    """What was there before the run.

    Attributes:
        texts: files by path; an empty text stands for a file that was not there.
        release: what the current link led to, such as ``releases/0.1``; empty if there was none.
        started: whether the relay ran.
        invocation: systemd's id of that.
        stock: the stock relay.
    """

    texts: Mapping[str, str]
    release: str
    started: bool
    invocation: str = ""
    stock: Stock = field(default_factory=Stock)


@dataclass(frozen=True)
class Undone:
    """The changes that were taken back.

    Attributes:
        files: whether a file was.
        link: whether the release was.
        refused: why the previous release cannot run; empty if it can.
    """

    files: bool
    link: bool
    refused: str

    def __bool__(self) -> bool:
        """Whether anything was changed back."""
        return self.files or self.link


class Previous:
    """The relay that ran before."""

    def __init__(self, host: str, home: str, before: Before, run: Run, files: Files) -> None:
        """Remember what was before.

        Args:
            host: the name of the host, for messages.
            home: the directory of the program.
            before: what was there.
            run: runs a command.
            files: writes files. In a dry run it changes nothing, and neither does this.
        """
        self._host = host
        self._home = home
        self._before = before
        self._run = run
        self._files = files
        self._unit = Unit(SERVICE, run)
        self.changed = False
        """Whether anything was changed back."""

    def replace_again(self, release: str, reason: str) -> str:
        """Put everything back after a relay that did not prove itself in its place.

        Args:
            release: the name of the release that was tried.
            reason: what went wrong.

        Returns:
            What runs now and why, in a sentence.

        Raises:
            CommandError: systemd does not start it.
            OSError: a file cannot be written.
            RefusedError: likewise.
        """
        if self._before.stock.unit or self._before.stock.copies:
            self._put_back_stock()
            if self._before.stock.unit:
                why = f"because no message comes through ours: {reason}"
                return f"The stock relay on {self._host} runs as before, {why}"
        undone, old = self.undo(), Path(self._before.release).name
        if undone.refused and self._before.started:
            return (
                f"{reason} The previous release {old} cannot run again on {self._host}, because it refuses the config "
                f"or the journal: {undone.refused}"
            )
        if not undone or not self._before.started:
            return reason
        self._unit.restart()
        what = release if undone.link else "The changed relay"
        how = "" if undone.link else " with the previous settings"
        return f"{what} did not prove itself on {self._host}, so {old} runs again{how}: {reason}"

    def move_back(self) -> bool:
        """Let a relay go on as before a move that did not work.

        Returns:
            Whether it was changed by the move.

        Raises:
            CommandError: systemd does not start it.
            OSError: a file cannot be written.
            RefusedError: likewise.
        """
        undone = self.undo()
        if undone and not self._files.check:
            if self._before.started:
                self._unit.restart()
            else:
                self._unit.switch_off()
        return bool(undone)

    def undo(self) -> Undone:
        """Write unit and settings back, and link the previous release if it accepts config and journal.

        Returns:
            The changes that were taken back.

        Raises:
            OSError: a file cannot be written.
            RefusedError: likewise.
        """
        texts = {path: text for path, text in self._before.texts.items() if text}
        files = [bool(self._files.bring(Item(path, "file", content=text))) for path, text in texts.items()]
        self.changed |= any(files)
        if not self._before.release or self._files.check:
            return Undone(any(files), link=False, refused="")
        program = f"{self._home}/{self._before.release}/bin/fedmsg-relay"
        code, _, reason = attempt(self._run, [program, "check-config"])
        if code != 0:
            return Undone(any(files), link=False, refused=reason.strip() or f"exit code {code}")
        link = Item(f"{self._home}/current", "link", src=self._before.release)
        linked = bool(self._files.bring(link))
        self.changed |= linked
        return Undone(any(files), link=linked, refused="")

    def _put_back_stock(self) -> None:
        stock = self._before.stock
        self.changed = True
        for path in stock.absent if stock.unit else ():
            self._files.remove(path)
        for copy, path in stock.copies:
            self._files.copy(copy, path)
        if not stock.unit or self._files.check:
            return
        invocation = self._unit.shown("InvocationID").get("InvocationID", "")
        self._unit.run_enabled(restart=invocation != self._before.invocation)
