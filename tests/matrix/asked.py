"""Asks the rows as everybody, and says in which cells the answer is another one than the class of the route says."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from tests.matrix.more_makers import MAKERS
from tests.matrix.rows import CALLERS, DIRECTORY, LADDER, NOBODY, PLAIN, WITHOUT, Row, filled
from tests.matrix.world import World

# Where NetworkPolicies drop what a webhook sends, its test takes two minutes.
TIMEOUT = 240
# Seconds for which a connection that fails is made anew.
AGAIN = 10
# How many ask at once: fewer than the server has turns for.
AT_ONCE = 6


class Asker:
    """Asks one server. headers: the credentials of each caller."""

    def __init__(self, url: str, headers: Mapping[str, Mapping[str, str]]) -> None:
        self.url, self.headers = url, headers
        self._kept = threading.local()

    def __call__(self, caller: str, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """One answer; redirects are answers. more: headers, data."""
        if not hasattr(self._kept, "session"):
            self._kept.session = requests.Session()
            self._kept.session.trust_env = False
        headers = {**self.headers.get(caller, {}), **more.pop("headers", {})}
        session: requests.Session = self._kept.session
        session.cookies.clear()
        request = {"json": body, "headers": headers, "timeout": TIMEOUT, "allow_redirects": False, **more}
        end = time.monotonic() + AGAIN
        while True:
            try:
                return session.request(method, f"{self.url}{path}", **request)
            except requests.ConnectionError:
                # The server had just closed the connection, which it keeps for some seconds. On a cluster the forward
                # of kubectl ends with each connection that is reset, and the next one starts.
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def raw(self, caller: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        """A status and a text, of a request whose path goes out as it is written here."""
        server = urlsplit(self.url)
        data = b"" if body is None else json.dumps(body).encode()
        given = {**self.headers.get(caller, {}), **headers, "Content-Length": str(len(data))}
        connection = http.client.HTTPConnection(server.hostname or "", server.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, data, given | ({"Content-Type": "application/json"} if data else {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()


@dataclass(frozen=True)
class Cell:
    """A row as one caller asks it, under one of its prefixes."""

    row: Row
    prefix: str
    caller: str

    @property
    def is_served(self) -> bool:
        return self.caller in self.row.needs.callers

    def __str__(self) -> str:
        return f"{self.row.method} {self.prefix}{self.row.rule} as {self.caller} (needs {self.row.needs.name})"


def _chosen(row: Row, number: int) -> list[str]:
    """Who asks a row where not everybody does: those on both sides of its line, and one of the others in turn."""
    served = [caller for caller in LADDER if caller in row.needs.callers]
    refused = [caller for caller in LADDER if caller not in row.needs.callers]
    chosen = [NOBODY, PLAIN, *served[:1], *refused[-1:]]
    others = [caller for caller in CALLERS if caller not in chosen]
    return [*chosen, others[number % len(others)]]


def cells(rows: Iterable[Row], *, every: bool) -> Iterator[Cell]:
    """The cells of rows. every: as each caller, under each prefix.

    Otherwise nobody and a plain user ask under each prefix, and some of the others under one of them.
    """
    for number, row in enumerate(rows):
        for position, caller in enumerate(CALLERS if every else _chosen(row, number)):
            both = every or caller in {NOBODY, PLAIN}
            for prefix in row.prefixes if both else (row.prefixes[(number + position) % len(row.prefixes)],):
                yield Cell(row, prefix, caller)


class Matrix:
    """The rows of the tables, asked of a server about a world. digest: what its databases and files hold."""

    def __init__(self, ask: Asker, world: World, digest: Callable[[], Mapping[str, str]]) -> None:
        self.ask, self.world, self.digest = ask, world, digest

    def answer(self, cell: Cell) -> requests.Response:
        """What one caller is answered; what the request uses up is made anew for those who may."""
        row, world = cell.row, self.world
        if cell.is_served:
            for kind in row.fresh:
                world = world.beside(MAKERS[kind](world, cell.caller))
        values = {**world.values, **world.new(), "caller": world.names.get(cell.caller, "")}
        more: dict[str, Any] = {"headers": filled(dict(row.headers), values)}
        if row.data is not None:
            more["data"] = filled(row.data, values)
        path = f"{cell.prefix}{filled(row.path, values)}"
        return self.ask(cell.caller, row.method, path, filled(row.body, values), **more)

    def fault(self, cell: Cell) -> str:
        """What is wrong with the answer of a cell; nothing, as it should be."""
        try:
            answer = self.answer(cell)
        except AssertionError as error:
            return f"{cell}: what the request uses up could not be made: {error}"
        row = cell.row
        refused = row.stranger if cell.caller in {NOBODY, DIRECTORY} else row.refused
        expected = row.good if cell.is_served else refused
        told = f"{cell}: {answer.status_code}, not {expected}: {answer.text[:300]}"
        if answer.status_code not in expected:
            return told
        shown = self.world.hidden in answer.text
        if shown and (not cell.is_served or cell.caller in WITHOUT):
            return f"{cell} sees what is hidden: {answer.text[:300]}"
        if cell.is_served and row.shows is not None and shown != (cell.caller in row.shows.callers):
            return f"{cell} {'sees' if shown else 'does not see'} what readers see: {answer.text[:300]}"
        return ""

    def faults(self, asked: Iterable[Cell]) -> list[str]:
        """What is wrong with answers.

        What reads is asked first: MLflow's lists can fail on what is deleted meanwhile. Cells of one row are asked one
        after the other, since they change the same thing.
        """
        reads: dict[int, list[Cell]] = {}
        writes: dict[int, list[Cell]] = {}
        for cell in asked:
            (reads if cell.row.method == "GET" else writes).setdefault(id(cell.row), []).append(cell)
        faults: list[str] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for rows in (reads, writes):
                for found in pool.map(lambda row: [self.fault(cell) for cell in row], rows.values()):
                    faults += filter(None, found)
        return faults

    def refusals(self, asked: Iterable[Cell], *, name: bool) -> list[str]:
        """What is wrong with the answers of cells that are not served, and what these changed all the same.

        name: asks again, row by row, to name the one that changes something; that takes long.
        """
        refused = [cell for cell in asked if not cell.is_served]
        before = self.digest()
        faults = self.faults(refused)
        changed = self._changes(before)
        return faults + changed + (self._culprits(refused) if changed and name else [])

    def _changes(self, before: Mapping[str, str]) -> list[str]:
        after = self.digest()
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        return [f"requests that were refused changed {changed}"] if changed else []

    def _culprits(self, asked: list[Cell]) -> list[str]:
        faults = []
        for row in {id(cell.row): cell.row for cell in asked}.values():
            before = self.digest()
            self.faults(cell for cell in asked if cell.row is row)
            if self.digest() != before:
                faults.append(f"{row.method} {row.rule} changes what there is for somebody who may not")
        return faults
