"""The settings of second factors: what people prove beside their password, or in place of it."""

from __future__ import annotations

from typing import Literal

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
