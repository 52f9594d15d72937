"""Something that goes on beside a test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def flowing(step: Callable[[], None], pause: float) -> Iterator[None]:
    """Take a step again and again in a thread, with a pause before each, for as long as the block runs."""
    ended = threading.Event()

    def flow() -> None:
        while not ended.wait(pause):
            step()

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
