"""One user who sends as much as the limits let in: `python -m tests.bench.flood`, with what to send as JSON on stdin.

In a process of its own, which does little but send: whoever is measured beside it does not wait for it. It goes on
until its stdin ends, then prints how many of which answers there were.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

SECONDS = 60


@dataclass(frozen=True)
class Sent:
    """Requests of one kind. body: a file; callers: how many at once."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str | None = None
    callers: int = 1


def told(place: str, sent: Sequence[Sent]) -> str:
    """What this program reads. place: host and port."""
    return json.dumps({"place": place, "sent": [asdict(one) for one in sent]}) + "\n"


class _Flood:
    def __init__(self, place: str) -> None:
        self._place = place
        self.over = threading.Event()
        self.answers: Counter[str] = Counter()

    def send(self, sent: Sent) -> None:
        """Sends one kind again and again. An answer that is a refusal is what a limit is for."""
        body = Path(sent.body).read_bytes() if sent.body else None
        connection = HTTPConnection(self._place, timeout=SECONDS)
        while not self.over.is_set():
            try:
                connection.request(sent.method, sent.path, body, dict(sent.headers))
                answer = connection.getresponse()
                while answer.read(1 << 20):
                    pass
                self.answers[str(answer.status)] += 1
            except (OSError, HTTPException) as error:
                self.answers[type(error).__name__] += 1
                connection.close()


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    flood = _Flood(asked["place"])
    threads = [
        threading.Thread(target=flood.send, args=(Sent(**one),), daemon=True)
        for one in asked["sent"]
        for _ in range(one["callers"])
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    flood.over.set()
    end = time.monotonic() + SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    print(json.dumps(flood.answers), flush=True)


if __name__ == "__main__":
    main()
