"""The settings of login flows: what people prove beside their password, and how many sessions they may have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from settings.types import Group


class SecondFactor(Group):
    """What people prove beside their password. What is declared here is written whole."""

    one_time_codes: bool = Field(True, description="Whether people can set up an app that shows codes (TOTP, RFC 6238)")
    passkeys: bool = Field(
        False, description="Whether people can set up passkeys, with which they log in without a password (WebAuthn)"
    )
    required: Literal["nobody", "administrators", "everybody"] = Field(
        "nobody", description="Who has to have one of the two; administrators are members of realm.groups.admins"
    )


class SessionLimit(Group):
    """How many sessions one person may have at once."""

    per_person: Annotated[int, Field(ge=1, le=1000)] = Field(
        description="Sessions of one person at once: each browser is one, and each login of a command line"
    )
    beyond: Literal["endOldest", "refuse"] = Field(
        "endOldest",
        description="What one more login does: it ends the session that was unused for longest, or it is refused",
    )
