"""Long JSON is read and written piece by piece, so that others get on meanwhile.

Python's parser in C gives no other thread of the process a turn before its end: 16 MiB of small objects took 0.3 s.
The one in Python, which the same module has, takes three times as long for these, twenty times for numbers alone, and
gives way to other threads. So it is with what writes JSON: four times as long. In the thread of the event loop either
would keep everybody waiting all the longer: they are not used there, and `aside` reads what is long in other threads.
"""

import asyncio
import copy
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from itertools import islice
from json import JSONDecodeError, JSONDecoder, JSONEncoder, scanner
from typing import Any, TypeVar

from mlflow_sso import upstream

Read = TypeVar("Read")
# Characters or bytes; what is shorter is read within a thousandth of a second.
LONG = 1 << 16
# Values, and texts by their length, of which C writes so many within some thousandths of a second.
_VALUES, _CHARACTERS = 20_000, 64
# Pieces of what is written that are put together at once: each is some sixty bytes of memory, however short.
_PIECES = 4096
_DEEP = "It is nested deeper than it can be read"
# Two at once: what computes in more threads takes as long together, and holds more.
_aside = ThreadPoolExecutor(2, "json")


def install() -> None:
    """Puts the mend in place, for all who read JSON by Python's library."""
    upstream.replace(JSONDecoder, "decode", "89faccd6b0f80c2f", _gently)
    upstream.replace(JSONEncoder, "encode", "d03a9078a1ab1a81", _gently_written)


async def aside(read: Callable[[bytes], Read], body: bytes) -> Read:
    """What `read` makes of a body, in another thread than the event loop's."""
    return await asyncio.get_running_loop().run_in_executor(_aside, read, body)


def _gently(original: Callable[..., Any]) -> Callable[..., Any]:
    number = scanner.NUMBER_RE
    flags = (number.flags & ~re.UNICODE) | re.ASCII
    # The parser in C takes no digits but those of ASCII.
    scanner.NUMBER_RE = re.compile(number.pattern, flags)  # type: ignore[misc]

    def read(self: JSONDecoder, s: str, *words: Any, **more: Any) -> Any:
        if len(s) < LONG or threading.current_thread() is threading.main_thread():
            return original(self, s, *words, **more)
        gentle: Any = copy.copy(self)
        gentle.memo = {}
        gentle.scan_once = scanner.py_make_scanner(gentle)  # type: ignore[attr-defined]
        try:
            return original(gentle, s, *words, **more)
        except RecursionError:
            # It is deeper than Python's own functions may call one another.
            return original(self, s, *words, **more)

    @wraps(original)
    def decode(self: JSONDecoder, s: str, *words: Any, **more: Any) -> Any:
        """What no reader of JSON takes for a fault of its own: they expect a ValueError of a text that is none."""
        try:
            return read(self, s, *words, **more)
        except RecursionError:
            raise JSONDecodeError(_DEEP, s, 0) from None

    return decode


def _gently_written(original: Callable[..., str]) -> Callable[..., str]:
    @wraps(original)
    def encode(self: JSONEncoder, o: Any) -> str:
        if threading.current_thread() is threading.main_thread() or _is_short(o):
            return original(self, o)
        try:
            pieces = self.iterencode(o)
            return "".join(iter(lambda: "".join(islice(pieces, _PIECES)), ""))
        except RecursionError:
            return original(self, o)

    return encode


def _is_short(value: Any) -> bool:
    """Whether C writes a value, with all that is in it, before anybody notices."""
    left, found = [value], 0
    while left:
        one = left.pop()
        if isinstance(one, str):
            found += len(one) // _CHARACTERS
        elif isinstance(one, dict | list | tuple):
            found += len(one)
        if found > _VALUES:
            return False
        if isinstance(one, dict):
            left.extend(one.values())
        elif isinstance(one, list | tuple):
            left.extend(one)
    return True
