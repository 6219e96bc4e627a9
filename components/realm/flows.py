"""The login flows of a realm where a second factor is required, or sessions are limited, as data.

Keycloak's own flows ask those for a second factor who have one. These ask everybody of whom one is required, and let
those set one up who have none (`DefaultAuthenticationFlow.processSingleFlowExecutionModel`: a REQUIRED execution).
Keycloak's own count no sessions; these do so last, once it is known who comes (`UserSessionLimitsAuthenticator`).
What they are made of is in the guide "Server administration", chapter "Configuring authentication".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from components.realm_words import BASIC, FLOWS
from settings.realm import SecondFactor, SessionLimit

REQUIRED, ALTERNATIVE, CONDITIONAL = "REQUIRED", "ALTERNATIVE", "CONDITIONAL"
# Keycloak's names for kinds of credentials, and for what lets people set one up.
CODE, PASSKEY = "otp", "webauthn-passwordless"
CODE_ACTION, PASSKEY_ACTION = "CONFIGURE_TOTP", "webauthn-register-passwordless"
_NO_CODE = "A second factor is required: log in with a browser"
# Between several values of one entry of a configuration (`Constants.CFG_DELIMITER`).
_AND = "##"
# Between the places of two executions, as the built-in flows have it.
_PLACE = 10


@dataclass(frozen=True)
class Execution:
    """One step of a flow. does: Keycloak's name of what it does. name: of the flow that it is, if it is one."""

    does: str = ""
    requirement: str = REQUIRED
    config: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    steps: tuple[Execution, ...] = ()


@dataclass(frozen=True)
class Flow:
    """A flow at the top. binding: what the realm uses it for. alias: its name, another one for other steps."""

    binding: str
    alias: str
    steps: tuple[Execution, ...]


@dataclass(frozen=True)
class Factors:
    """What a realm has of second factors. actions: what people can set up, by Keycloak's names, and whether."""

    actions: Mapping[str, bool]
    passkeys: Mapping[str, Any]


def factors(declared: SecondFactor) -> Factors:
    return Factors(
        {CODE_ACTION: declared.one_time_codes, PASSKEY_ACTION: declared.passkeys},
        {
            "webAuthnPolicyPasswordlessPasskeysEnabled": declared.passkeys,
            # A passkey is two factors where the device asks who holds it (WebAuthn Level 3, section 5.8.6).
            "webAuthnPolicyPasswordlessUserVerificationRequirement": "required",
            # The login page asks for one before it knows who comes.
            "webAuthnPolicyPasswordlessResidentKey": "required",
        },
    )


def login_flows(factor: SecondFactor | None, limit: SessionLimit | None, roles: Sequence[str]) -> tuple[Flow, ...]:
    """The flows of the stack's own; none where Keycloak's own do what is declared.

    roles: those of administrators, as `client.role`.
    """
    required = factor if factor and factor.required != "nobody" else None
    if required is None and limit is None:
        return ()
    of = tuple(roles) if required and required.required == "administrators" else ()
    counted = (_limit(limit),) if limit else ()
    asked = (_HAS_ONE, *_set_up(required, of)) if required else (_HAS_CODE,)
    made = {
        "browserFlow": _browser((*asked, *counted)),
        "directGrantFlow": (*_PASSWORD, *(_codes(of) if required else (_SENDS_CODE,)), *counted),
        "resetCredentialsFlow": _RESET if required else _RESET_ALONE,
    }
    return tuple(_named(binding, steps) for binding, steps in made.items())


def alias_of(flow: str, name: str) -> str:
    """The name of a flow inside of another one: Keycloak has each name once in a realm."""
    return f"{flow}-{name}"


def as_import(flows: Sequence[Flow]) -> dict[str, Any]:
    """Flows in the words of a realm import."""
    written: list[dict[str, Any]] = []
    configs: list[dict[str, Any]] = []
    for flow in flows:
        _write(flow.alias, flow.alias, flow.steps, written, configs)
    return {
        "authenticationFlows": written,
        "authenticatorConfig": configs,
        **{flow.binding: flow.alias for flow in flows},
    }


def places(steps: Sequence[Execution]) -> Iterator[tuple[int, Execution]]:
    """Each step of a flow with its priority: Keycloak takes the lowest first."""
    for i, step in enumerate(steps):
        yield (i + 1) * _PLACE, step


def config_name(parent: str, place: int) -> str:
    """What Keycloak calls the configuration of the step at a place of a flow."""
    return f"{parent}-{place}"


def _write(
    top: str, alias: str, steps: Sequence[Execution], written: list[dict[str, Any]], configs: list[dict[str, Any]]
) -> None:
    executions: list[dict[str, Any]] = []
    entry = {"alias": alias, "providerId": BASIC, "topLevel": top == alias, "builtIn": False}
    written.append({**entry, "authenticationExecutions": executions})
    for priority, step in places(steps):
        common = {"requirement": step.requirement, "priority": priority}
        if step.steps:
            inner = alias_of(top, step.name)
            executions.append({**common, "flowAlias": inner, "authenticatorFlow": True})
            _write(top, inner, step.steps, written, configs)
            continue
        more = {}
        if step.config:
            more = {"authenticatorConfig": config_name(alias, priority)}
            configs.append({"alias": config_name(alias, priority), "config": dict(step.config)})
        executions.append({**common, "authenticator": step.does, "authenticatorFlow": False, **more})


def _named(binding: str, steps: tuple[Execution, ...]) -> Flow:
    plain = Flow(binding, "", steps)
    name = hashlib.sha256(json.dumps(as_import([plain]), sort_keys=True).encode()).hexdigest()[:8]
    return replace(plain, alias=f"mlflow-{FLOWS[binding]}-{name}")


def _browser(asked: tuple[Execution, ...]) -> tuple[Execution, ...]:
    """Keycloak's own flow but for Kerberos, organizations and other kinds of second factors. asked: after the password.

    Whoever comes with a session is asked nothing more, and is not counted: none is added.
    """
    forms = Execution(name="forms", requirement=ALTERNATIVE, steps=(Execution("auth-username-password-form"), *asked))
    return (Execution("auth-cookie", ALTERNATIVE), Execution("identity-provider-redirector", ALTERNATIVE), forms)


def _set_up(declared: SecondFactor, roles: Sequence[str]) -> Iterator[Execution]:
    """roles: of whom a second factor is required; empty for everybody."""
    # Whoever has none sets up a code, which works on every machine; a passkey where codes are off.
    first = _KINDS[CODE if declared.one_time_codes else PASSKEY]
    for i, role in enumerate(roles or [""]):
        yield Execution(
            name=f"sets-up{f'-{i + 1}' if role else ''}",
            requirement=CONDITIONAL,
            steps=(*([_has(role)] if role else []), _not_used(*_KINDS), Execution(first)),
        )


def _codes(roles: Sequence[str]) -> tuple[Execution, ...]:
    """A code is asked for in the parameter `totp`. Each is good once, so that no two steps may ask for it."""
    if not roles:
        return (_code("everybody"),)
    administrators = (
        Execution(
            name=f"administrators-{i + 1}",
            requirement=CONDITIONAL,
            steps=(_has(role), *(_has(other, negate=True) for other in roles[:i]), _code(f"code-{i + 1}")),
        )
        for i, role in enumerate(roles)
    )
    others = (*(_has(role, negate=True) for role in roles), *_SENDS_CODE.steps)
    return (*administrators, replace(_SENDS_CODE, steps=others))


def _limit(declared: SessionLimit) -> Execution:
    beyond = {"endOldest": "Terminate oldest session", "refuse": "Deny new session"}[declared.beyond]
    return Execution("user-session-limits", config={"userRealmLimit": str(declared.per_person), "behavior": beyond})


def _code(name: str) -> Execution:
    """A code, or no way in: Keycloak calls it an error of its own where somebody has none (26.7)."""
    denied = Execution("deny-access-authenticator", ALTERNATIVE, config={"denyErrorMessage": _NO_CODE})
    return Execution(name=name, steps=(Execution("direct-grant-validate-otp", ALTERNATIVE), denied))


def _not_used(*kinds: str) -> Execution:
    return Execution("conditional-credential", config={"credentials": _AND.join(kinds), "included": "false"})


def _has(role: str, *, negate: bool = False) -> Execution:
    return Execution("conditional-user-role", config={"condUserRole": role, "negate": str(negate).lower()})


def _where_there(name: str, *steps: Execution, unless: tuple[str, ...] = ()) -> Execution:
    """Steps for those who have what the steps ask for. unless: kinds of credentials that leave them out, once used."""
    first = (_not_used(*unless),) if unless else ()
    configured = Execution("conditional-user-configured")
    return Execution(name=name, requirement=CONDITIONAL, steps=(*first, configured, *steps))


# What asks for each kind. One that was switched off counts where somebody has it: else a password would be enough to
# set up the other one.
_KINDS = {CODE: "auth-otp-form", PASSKEY: "webauthn-authenticator-passwordless"}
_HAS_ONE = _where_there("has-one", *(Execution(one, ALTERNATIVE) for one in _KINDS.values()), unless=(PASSKEY,))
# As in Keycloak's own flow: whoever has a code is asked for it, and nobody beside a passkey. A security key, which
# Keycloak has switched off there, counts as well: a realm may have switched it on.
_HAS_CODE = _where_there(
    "has-code",
    Execution("auth-otp-form", ALTERNATIVE),
    Execution("webauthn-authenticator", ALTERNATIVE),
    unless=(PASSKEY,),
)
_PASSWORD = (Execution("direct-grant-validate-username"), Execution("direct-grant-validate-password"))
_SENDS_CODE = _where_there("others", Execution("direct-grant-validate-otp"))
# A link in a mail leads to another password, and to no login. Whoever has a factor is asked for it: whatever sent the
# browser here can ask for another one to be set up afterwards (`kc_action`).
_MAILED = (
    Execution("reset-credentials-choose-user"),
    Execution("reset-credential-email", config={"force-login": "true"}),
)
_RESET = (*_MAILED, _HAS_ONE, Execution("reset-password"))
# Keycloak's own but for the login, which would not be counted.
_RESET_ALONE = (*_MAILED, Execution("reset-password"), _where_there("has-code", Execution("reset-otp")))
