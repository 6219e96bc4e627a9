"""What a Keycloak has of the resources of a realm, asked in an update, in an order in which nobody waits for ever.

People are made before a directory that is new: Keycloak refuses a name that somebody there has. Where a directory is
there and does not let Keycloak in, Keycloak says nothing of anybody: then people wait for the update of the directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pulumi

from components.identity import account_username
from components.realm.asked import Asked
from components.realm.kept import ACTION, CLIENT, REALM, TEXTS, USER, Kind, Look, look_up
from components.realm.ldap import Directory
from components.realm.spec import RealmSpec
from components.realm_words import THEMES, unknown_themes


class Looks:
    """Asks with the provider, or what the provider cannot tell, of `asked`. secret: of the account that asks.

    realm: what is declared. realm_id: of the realm, once it is made or updated.
    people, directories: the ids of those that are declared, once they are made or updated.
    """

    def __init__(
        self,
        provider: pulumi.ProviderResource,
        asked: Asked,
        secret: pulumi.Output[str],
        realm: RealmSpec,
    ) -> None:
        self._provider, self._asked, self._secret, self._realm = provider, asked, secret, realm
        self._found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.realm_id: pulumi.Output[str] = pulumi.Output.from_input(realm.name)
        self.people: list[pulumi.Output[str]] = []
        self.directories: dict[str, pulumi.Output[str]] = {}

    async def __call__(self, kind: Kind[Any], keys: Mapping[str, Any]) -> Mapping[str, Any]:
        """What Keycloak has of a resource. Not in a preview."""
        if kind is REALM:
            found: Mapping[str, Any] = (await asyncio.gather(self._look_at_realm(keys), self.refuse_losses()))[0]
            await self._refuse_themes(found)
            return found
        if kind is CLIENT:
            # One that this update makes has nothing of the stack's.
            if not await self._found and keys["clientId"] not in self._realm.closed:
                return {}
            return await look_up(kind, self._provider, {**keys, "realmId": await self._place()})
        if kind not in (USER, ACTION, TEXTS):
            return await look_up(kind, self._provider, keys)
        secret = await self._secret.future() or ""
        if kind is TEXTS:
            return {"texts": await asyncio.to_thread(self._asked.texts, secret, keys["locale"])}
        if kind is ACTION:
            return await asyncio.to_thread(self._asked.action, secret, keys["alias"])
        try:
            return await asyncio.to_thread(self._asked.person, secret, keys["username"])
        except pulumi.RunError:
            if not self.directories:
                raise
            there = await asyncio.to_thread(self._asked.directories, secret)
            if not there >= self.directories.keys():
                raise
        for made in self.directories.values():
            await made.future()
        return await asyncio.to_thread(self._asked.person, secret, keys["username"])

    def place(self, ready: pulumi.Output[str] | None) -> pulumi.Output[str]:
        """The id of the realm, once there is something of it to ask for. ready: as in `unlost`. Not in a preview."""
        return pulumi.Output.from_input(ready).apply(self._place)

    async def _place(self, _: object = None) -> str:
        # An update of a realm does not change its id.
        return self._realm.name if await self._found else await self.realm_id.future() or ""

    async def _look_at_realm(self, keys: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            found = await look_up(REALM, self._provider, keys)
        except BaseException:
            # Whoever waits is told as well, by Keycloak.
            self._found.set_result(True)
            raise
        self._found.set_result(bool(found))
        return found

    def unlost(self, ready: pulumi.Output[Any] | None) -> pulumi.Output[str]:
        """The name of a realm that the stack did not make. ready: what has to be known before a server is asked."""
        if pulumi.runtime.is_dry_run():
            return pulumi.Output.from_input(self._realm.name)

        async def name(_: object) -> str:
            self._found.set_result(True)
            await self.refuse_losses()
            return self._realm.name

        return pulumi.Output.from_input(ready).apply(name)

    async def refuse_losses(self) -> None:
        """Raises pulumi.RunError where a group would be removed with its members: the engine asks nobody for them."""
        realm, secret = self._realm, await self._secret.future() or ""
        people = {
            *(user.username for user in realm.users),
            *(account_username(client.client_id) for client in realm.accounts),
        }
        lost = await asyncio.to_thread(self._asked.lost, secret, realm.groups_client, realm.groups, people)
        if lost:
            expected = "expected none: declare it beside the new one, give them another group, and then take it out"
            raise pulumi.RunError(f"{'; '.join(lost)}: {expected}; nothing was changed in the realm.")

    async def _refuse_themes(self, found: Mapping[str, Any]) -> None:
        """Raises pulumi.RunError for themes that the server does not have: it would show its own, and say nothing.

        found: the realm. What it names already may have gone since: that is a finding of the doctor.
        """
        themes = {word: name for word, name in self._realm.themes.items() if found.get(word) != name}
        if not themes:
            return
        there = await asyncio.to_thread(self._asked.themes, await self._secret.future() or "")
        unknown = unknown_themes(themes, there)
        if unknown:
            told = (
                f"realm.themes.{kind}: {themes[THEMES[kind]]}: expected one that Keycloak has: {names}"
                for kind, names in unknown.items()
            )
            raise pulumi.RunError(f"{'; '.join(told)}; nothing was changed in the realm.")

    def directory(self, found: Directory, password: pulumi.Output[str] | None) -> Look:
        """Looks a directory up after Keycloak has tried it."""

        async def look(_: Kind[Any], __: Mapping[str, Any]) -> Mapping[str, Any]:
            secret = await self._secret.future() or ""
            login = await password.future() or "" if password is not None else ""
            there = await asyncio.to_thread(self._asked.directory, secret, found.name, found.config, login)
            if not there:
                for made in self.people:
                    await made.future()
            return there

        return look
