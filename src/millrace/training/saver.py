"""The region of a run that saves: a thread beside the training steps."""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Callable

from millrace.ir.errors import MillraceError

REGION = "save"


class Saver:
    """Runs what writes checkpoints on a thread of its own, one at a time.

    Who submits the next before the last is written waits for it, so that there is never more than one copy of the
    state besides the one that is trained. waits, waited: how often that was, and for how many seconds in all.

    What went wrong is raised by the next call, as "the region 'save' failed: ...". Python ends only after the last
    write, even where nobody calls `close`.
    """

    def __init__(self) -> None:
        self.waits, self.waited = 0, 0.0
        self._idle = threading.Event()  # not Thread.join, which forgets the thread where Ctrl-C cuts it short
        self._idle.set()
        self._error: BaseException | None = None

    def submit(self, write: Callable[[], None]) -> None:
        """Have `write` called on the thread, once what was submitted before is done.  Raises what that raised."""
        self.ready()
        atexit.unregister(self._last_words)
        atexit.register(self._last_words)
        self._idle.clear()
        thread = threading.Thread(target=self._run, args=(write,), name="millrace save")
        try:
            thread.start()
        except RuntimeError:  # no more threads
            self._run(write)
        except BaseException:
            if thread.ident is None:  # nobody would say that it is done
                self._idle.set()
            raise

    def ready(self) -> None:
        """Wait until nothing is being written.  Raises what was raised there."""
        if not self._idle.is_set():
            started = time.perf_counter()
            self._idle.wait()
            self.waits, self.waited = self.waits + 1, self.waited + time.perf_counter() - started
        self.check()

    def check(self) -> None:
        """Raise what was raised on the thread, once."""
        error, self._error = self._error, None
        if isinstance(error, MillraceError):
            raise type(error)(f"the region {REGION!r} failed: {error}") from None
        if error is not None:
            raise error

    def close(self) -> None:
        """Wait for the last write.  Raises what it raised."""
        self._idle.wait()
        atexit.unregister(self._last_words)
        self.check()

    def _run(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as error:  # raised again where the steps are
            self._error = error
        finally:
            self._idle.set()

    def _last_words(self) -> None:
        """At the very end: what nobody has asked for must not go unsaid."""
        if self._error is not None:
            print(f"millrace: the region {REGION!r} failed: {self._error}", file=sys.stderr)
