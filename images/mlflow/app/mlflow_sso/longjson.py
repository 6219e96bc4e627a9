"""Long JSON is read piece by piece, so that others get on meanwhile.

Python's parser in C gives no other thread of the process a turn before its end: 16 MiB of small objects took 0.3 s.
The one in Python, which the same module has, takes three times as long and gives way.
"""

import copy
from collections.abc import Callable
from functools import wraps
from json import JSONDecoder, scanner
from typing import Any

from mlflow_sso import upstream

# Characters; what is shorter is read within a thousandth of a second.
_LONG = 1 << 16


def install() -> None:
    """Puts the mend in place, for all who read JSON by Python's library."""
    upstream.replace(JSONDecoder, "decode", "89faccd6b0f80c2f", _gently)


def _gently(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def decode(self: JSONDecoder, s: str, *words: Any, **more: Any) -> Any:
        if len(s) < _LONG:
            return original(self, s, *words, **more)
        gentle: Any = copy.copy(self)
        gentle.memo = {}
        gentle.scan_once = scanner.py_make_scanner(gentle)  # type: ignore[attr-defined]
        try:
            return original(gentle, s, *words, **more)
        except RecursionError:
            # It is deeper than Python's own functions may call one another.
            return original(self, s, *words, **more)

    return decode
