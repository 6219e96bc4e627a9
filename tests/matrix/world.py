"""What the routes are asked about: one of each thing, all of one administrator, and permissions on it for the holders.

A request that uses a thing up gets one of its own, made for whoever asks. `makers.py` makes them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from tests.matrix.rows import ADMINISTRATOR, HOLDERS

V2, V3, GRANTS = "/api/2.0/mlflow", "/api/3.0/mlflow", "/api/2.0/mlflow/permissions"


# Asks as a caller: caller, method, path, JSON.
Ask = Callable[..., requests.Response]


class World:
    """One of each thing. names: the callers' user names, by who they are. guest: a user whose permissions are changed.

    sign_in: logs somebody in with a browser, and gives their name.

    Everything that only readers may see has `hidden` in it, which stands in no request of somebody who may not.
    """

    def __init__(
        self, ask: Ask, names: Mapping[str, str], guest: str, group: str, sign_in: Callable[[], str] = lambda: ""
    ) -> None:
        self._ask, self.names, self.sign_in, self.owner = ask, names, sign_in, ADMINISTRATOR
        self.hidden, self.tag = f"hidden{secrets.token_hex(8)}", "k"
        self.values: dict[str, str] = {
            **names, "guest": guest, "group": group, "hidden": self.hidden, "tag": self.tag, "one": "1",
            "soon": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        }  # fmt: skip

    def beside(self, values: Mapping[str, str]) -> World:
        """This world with other things in place of some of its own."""
        other = copy(self)
        other.values = {**self.values, **values}
        return other

    def owned_by(self, caller: str) -> World:
        """A world of the same people, whose things a caller makes, and shares with nobody; with a word of its own."""
        other = copy(self)
        other.owner, other.hidden = caller, f"own{secrets.token_hex(8)}"
        other.values = {**self.values, "hidden": other.hidden}
        return other

    def new(self) -> dict[str, str]:
        """Values that are other ones each time."""
        half, whole = secrets.token_hex(8), secrets.token_hex(16)
        fresh = {"new": f"matrix{half}", "new_half": half, "new_hex": whole, "new_trace": f"tr-{whole}"}
        return {**fresh, "new_version": f"1.{secrets.randbelow(2**31)}.0"}

    def must(self, method: str, path: str, body: Any = None, caller: str = "", **more: Any) -> Any:
        """The JSON of an answer that has to be a good one."""
        answer = self._ask(caller or self.owner, method, path, body, **more)
        assert answer.status_code in {200, 201, 204}, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.text[:1] in {"{", "["} else {}

    def grant(self, part: str, key: str, to: Mapping[str, str]) -> None:
        """Gives permissions: to: a permission by the name of a caller."""
        for caller, permission in to.items():
            path = f"{GRANTS}/users/{self.names.get(caller, caller)}/{part}/{key}"
            self.must("POST", path, {"permission": permission})

    def share(self, part: str, key: str, caller: str) -> None:
        """Gives a caller on a new thing what they hold on others; everybody, for the things that stay."""
        if self.owner != ADMINISTRATOR:
            return
        if caller == "":
            self.grant(part, key, {**HOLDERS, self.values["guest"]: "READ"})
            path = f"{GRANTS}/groups/{self.values['group']}/{part}/{key}"
            self.must("POST", path, {"permission": "READ"})
        elif caller in HOLDERS:
            self.grant(part, key, {caller: HOLDERS[caller]})
