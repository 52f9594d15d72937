"""Headless Chromium, driven over a pipe (the DevTools protocol): what a person would see and press."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import PATIENCE, wait_until

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # the tests run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-pipe",
)


class Browser:
    """A browser with one page. What the page's scripts do wrong, and what its CSP keeps away, is in `faults`."""

    def __init__(self) -> None:
        program = shutil.which("chromium")
        assert program, "no chromium: run script/test, which installs it"
        self._profile = Path(tempfile.mkdtemp(prefix="chromium-"))
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        places = [(null, 0), (null, 1), (null, 2), (to_read, 3), (to_write, 4)]
        # Away from the numbers that they are to get.
        moved = [(os.dup2(old, 100 + new, inheritable=True), new) for old, new in places]
        self._pid = os.posix_spawn(
            program,
            [program, *_OPTIONS, f"--user-data-dir={self._profile}", "about:blank"],
            {**os.environ, "HOME": str(self._profile)},
            file_actions=[(os.POSIX_SPAWN_DUP2, old, new) for old, new in moved],
            setsid=True,
        )
        for number in {old for old, _ in moved} | {null, to_read, to_write}:
            os.close(number)
        self._number = 0
        self._waiting = b""
        self._session = ""
        self.faults: list[str] = []
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)
        wait_until(lambda: self.run("document.readyState") == "complete" and self.run("location.href") == url, url)

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str, text: str = "") -> None:
        code = {"Tab": 9, "Enter": 13, "Space": 32}.get(key, 0)
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            self._call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **typed)

    def write(self, text: str) -> None:
        self._call("Input.insertText", text=text)

    def size(self, width: int, height: int, dark: bool = False) -> None:
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def scripts(self, enabled: bool) -> None:
        self._call("Emulation.setScriptExecutionDisabled", value=not enabled)

    def screenshot(self) -> bytes:
        return base64.b64decode(self._call("Page.captureScreenshot", format="png", captureBeyondViewport=False)["data"])

    def close(self) -> None:
        os.close(self._write)
        os.close(self._read)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        call = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            call["sessionId"] = self._session
        os.write(self._write, json.dumps(call).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            told = self._next(method, deadline)
            if told.get("id") == self._number:
                assert "error" not in told, (method, told)
                result: dict[str, Any] = told["result"]
                return result
            if told.get("method") == "Runtime.exceptionThrown":
                self.faults.append(str(told["params"]["exceptionDetails"]))
            entry = told.get("params", {}).get("entry", {})
            if told.get("method") == "Log.entryAdded" and entry["level"] == "error":
                self.faults.append(entry["text"])

    def _next(self, method: str, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"the browser does not answer {method}"
            more = os.read(self._read, 1 << 16)
            assert more, "the browser has ended"
            self._waiting += more
        text, _, self._waiting = self._waiting.partition(b"\0")
        told: dict[str, Any] = json.loads(text)
        return told
