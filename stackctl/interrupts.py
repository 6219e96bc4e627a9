"""Interrupts that reach a main thread which waits."""

from __future__ import annotations

import os
import signal
import threading
import time

# Seconds between two knocks, and how often it is knocked for one interrupt.
_PAUSE, _KNOCKS = 0.1, 20


def heed() -> None:
    """See to it that an interrupt is handled at once, whatever the main thread waits for.

    Python notes a signal and lets the main thread handle it when that thread runs next. An interrupt that comes
    between its last look and the begin of a wait is so handled after the wait, which may last for ever; beside busy
    threads that is one of fifty. A thread hears of each interrupt by the wakeup descriptor, and knocks at the main
    thread with a signal that does nothing, which ends a system call (PEP 475).
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        # Whoever started the command wants none.
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.signal(signal.SIGURG, lambda *_: None)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_knock, args=(heard,), name="interrupts", daemon=True).start()


def _knock(heard: int) -> None:
    main = threading.main_thread().ident
    while main is not None:
        if signal.SIGINT not in os.read(heard, 64):
            continue
        for _ in range(_KNOCKS):
            signal.pthread_kill(main, signal.SIGURG)
            time.sleep(_PAUSE)
