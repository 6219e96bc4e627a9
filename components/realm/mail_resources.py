"""The mail server of a realm, in the words of pulumi-keycloak."""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
import pulumi_keycloak as keycloak

from components.realm.asked import Asked
from components.realm.spec import Mail


def mail_server(mail: Mail, password: pulumi.Output[str] | None) -> keycloak.RealmSmtpServerArgs:
    """The declared one."""
    config = mail.config
    login = (
        keycloak.RealmSmtpServerAuthArgs(username=config["user"], password=password) if password is not None else None
    )
    return keycloak.RealmSmtpServerArgs(
        host=config["host"],
        port=config["port"],
        from_=config["from"],
        from_display_name=config["fromDisplayName"] or None,
        reply_to=config["replyTo"] or None,
        starttls=config["starttls"] == "true",
        ssl=config["ssl"] == "true",
        auth=login,
    )


def mail_there(asked: Asked, secret: pulumi.Output[str], ready: pulumi.Output[Any] | None) -> pulumi.Output[Any]:
    """The one that somebody set in Keycloak. ready: what has to be known before a server is asked."""
    known = pulumi.Output.unsecret(pulumi.Output.all(secret, ready))

    async def look(login: str) -> Any:
        return await asyncio.to_thread(asked.mail_server, login)

    return known.apply(lambda both: look(both[0])).apply(lambda found: pulumi.Output.secret(found) if found else found)
