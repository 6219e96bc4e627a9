"""Logins kept in the user's config directory: one 0600 file for each stack, refreshed by whoever needs it.

Several processes may share one login. A lock beside the file lets one of them refresh while the others
wait for what it writes.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from mlflow_sso_client.errors import NotLoggedInError
from mlflow_sso_client.files import NAME, config_home, held, once, read_text, write_private
from mlflow_sso_client.oidc import Provider, Tokens, client_credentials, discover, refresh, told
from mlflow_sso_client.web import canonical, refuse_clear, session

# What a field of a login in a file has to be, by the annotation of the field.
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "float": (int, float), "bool": (bool,), "str | None": (str, type(None)),
}  # fmt: skip
# The name of a login where nobody gives one and none is kept, and of a stack.
USUAL = "dev"
# An access token is renewed this long before it ends, or a fifth of its lifetime before, if that is less.
MARGIN_SECONDS = 30.0
# Logins that were renewed here and could not be written, by their files.
_unwritten: dict[Path, Login] = {}
# Logins by the state of their directory: of the newest state alone.
_servers: dict[tuple[Path, int], tuple[Login, ...]] = {}


@dataclass(frozen=True)
class Login:
    """One kept login. Times are seconds since the epoch.

    kind: how it was made: device, browser, password or client-credentials.
    refresh_until: when its session ends unless it is used; 0 when the issuer names no end.
    client_secret: of a client-credentials login alone, which has no refresh token.
    made: when somebody logged in, however often it was renewed since; 0 in a file of an older version.
    token_url: of such a login whose issuer is not reached from here: where its tokens come from.
    """

    mlflow_url: str
    issuer: str
    client_id: str
    username: str
    kind: str
    offline: bool
    access_token: str = field(repr=False)
    access_from: float
    access_until: float
    refresh_token: str = field(default="", repr=False)
    refresh_until: float = 0.0
    client_secret: str = field(default="", repr=False)
    ca_bundle: str | None = None
    token_url: str = ""
    made: float = 0.0

    def fresh(self, now: float) -> bool:
        """Whether the access token is good for a request made now."""
        margin = min(MARGIN_SECONDS, (self.access_until - self.access_from) / 5)
        return self.access_from - 60 <= now < self.access_until - margin

    def serves(self, address: str) -> bool:
        """Whether an address is that of this login's MLflow, or lies below it, as those of artifacts do."""
        base, asked = canonical(self.mlflow_url), canonical(address)
        return base != "" and (asked == base or asked.startswith(base + "/"))

    def usable(self, now: float) -> bool:
        """Whether the access token has not ended yet, however soon it will."""
        return now < self.access_until

    def ended(self, now: float) -> bool:
        """Whether it is known, without asking the issuer, that it can be neither used nor renewed."""
        renewable = self.client_secret or (self.refresh_token and not 0 < self.refresh_until <= now)
        return not renewable and not self.usable(now)

    def with_tokens(self, tokens: Tokens, now: float) -> Login:
        return replace(
            self,
            access_token=tokens.access_token,
            access_from=now,
            access_until=now + tokens.expires_in,
            refresh_token=tokens.refresh_token or self.refresh_token,
            refresh_until=now + tokens.refresh_expires_in if tokens.refresh_expires_in else 0.0,
        )

    def provider(self) -> Provider:
        if self.token_url:
            return told(self.issuer, self.token_url, session(self.ca_bundle))
        return discover(self.issuer, session(self.ca_bundle))

    def renewed(self) -> Login:
        """The same login with a new access token. Raises NotLoggedInError when it has ended."""
        provider, now = self.provider(), time.time()
        if self.client_secret:
            return self.with_tokens(client_credentials(provider, self.client_id, self.client_secret), now)
        return self.with_tokens(refresh(provider, self.client_id, self.refresh_token), now)


class LoginStore:
    """The login of one stack."""

    def __init__(self, stack: str) -> None:
        self.stack = stack
        self.path = logins_directory() / f"{stack}.json"

    def find(self) -> Login | None:
        """The login; the newer one that this process could not write, where there is one of the same making."""
        kept, own = read_login(self.path), _unwritten.get(self.path)
        if kept is not None and own is not None and own.made == kept.made and own.access_from > kept.access_from:
            return own
        return kept

    def read(self) -> Login:
        login = self.find()
        if login is None:
            raise NotLoggedInError(f"there is no login for stack {self.stack} here", f"run {command_for(self.stack)}")
        return login

    def write(self, login: Login) -> None:
        with held(self.path.with_suffix(".lock")):
            self._write(login)

    def remove(self) -> None:
        with held(self.path.with_suffix(".lock")):
            self.path.unlink(missing_ok=True)

    def access_token(self) -> str:
        """An access token that is good now. Raises as `current` does."""
        return self.current().access_token

    def current(self) -> Login:
        """The login with an access token that is good now; refreshed at most once however many processes ask.

        Raises RefusedError for one that its server could only get in clear through a network.
        """
        login = self.read()
        refuse_clear(login.mlflow_url)
        if login.fresh(time.time()):
            return login
        with self._alone(login):
            # Another process may have refreshed it while this one waited.
            login = self.read()
            if not login.fresh(time.time()):
                login = self._renewed(login)
        return login

    def instead_of(self, token: str) -> Login:
        """The login with another access token than one that its server refused, renewed if it still holds that one."""
        with self._alone(self.read()):
            login = self.read()
            if login.access_token == token:
                login = self._renewed(login)
        return login

    @contextmanager
    def _alone(self, login: Login) -> Iterator[None]:
        """Keeps other processes from renewing it. A client's secret renews as often as anybody asks, without a lock."""
        with ExitStack() as stack:
            try:
                stack.enter_context(held(self.path.with_suffix(".lock")))
            except OSError:
                if not login.client_secret:
                    raise
            yield

    def _renewed(self, login: Login) -> Login:
        try:
            login = login.renewed()
        except NotLoggedInError as error:
            raise NotLoggedInError(error.cause, f"run {command_for(self.stack)}") from None
        try:
            self._write(login)
            _unwritten.pop(self.path, None)
        except OSError as error:
            # The issuer may take the refresh token of before no more, so what it gave is kept in memory at least.
            _unwritten[self.path] = login
            if not login.client_secret:
                reason = error.strerror or type(error).__name__
                text = f"the renewed login cannot be written to {self.path} ({reason}); this process alone has it"
                once.say(text, f"{NAME}: {text}")
        return login

    def _write(self, login: Login) -> None:
        write_private(self.path, json.dumps(asdict(login), indent=1) + "\n")


def command_for(stack: str) -> str:
    """What makes a login of that name anew; the usual one is left out, as everywhere."""
    return "`mlflow-sso login`" if stack == USUAL else f"`mlflow-sso login --stack {shlex.quote(stack)}`"


def logins_directory() -> Path:
    return config_home() / "logins"


def read_login(path: Path) -> Login | None:
    """The login in a file; None when there is none. Raises NotLoggedInError for one that cannot be read."""
    try:
        login = Login(**json.loads(read_text(path)))
        if not all(isinstance(getattr(login, one.name), _TYPES[str(one.type)]) for one in fields(login)):
            raise TypeError("a field of another type")
        return login
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except (ValueError, TypeError, RecursionError):
        reason = "it is damaged"
    raise NotLoggedInError(
        f"the login kept in {path} cannot be read ({reason})", f"remove it, and run {command_for(path.stem)}"
    )


def kept_logins() -> dict[str, Login]:
    """Every login that is kept here and can be read, by its stack."""
    found = {}
    for path in sorted(logins_directory().glob("*.json")):
        with suppress(NotLoggedInError):
            login = read_login(path)
            if login is not None:
                found[path.stem] = login
    return found


def damaged_logins() -> list[NotLoggedInError]:
    """Why each login that cannot be read cannot."""
    found = []
    for path in sorted(logins_directory().glob("*.json")):
        try:
            read_login(path)
        except NotLoggedInError as error:
            found.append(error)
    return found


def server_of(address: str) -> str | None:
    """The MLflow that an address belongs to, of those with a login here: that whose path is the longest."""
    stamp = _stamp()
    known = _servers.get(stamp)
    if known is None:
        known = tuple(kept_logins().values())
        _servers.clear()
        _servers[stamp] = known
    return max((canonical(login.mlflow_url) for login in known if login.serves(address)), key=len, default=None)


def _stamp() -> tuple[Path, int]:
    """What differs once a login was written or removed: a file gets its name in the directory by a rename."""
    directory = logins_directory()
    try:
        return directory, directory.stat().st_mtime_ns
    except OSError:
        return directory, 0


def login_for(address: str) -> LoginStore | None:
    """The login of the MLflow that an address belongs to, where programs find it.

    Of several the newest, and one that has ended last; of two MLflows, one below the path of the other, that whose path
    is the longer.
    """
    now = time.time()
    found = {stack: login for stack, login in kept_logins().items() if login.serves(address)}

    def rank(stack: str) -> tuple[int, bool, float, str]:
        login = found[stack]
        return -len(canonical(login.mlflow_url)), login.ended(now), -login.made, stack

    return LoginStore(min(found, key=rank)) if found else None


def beside(store: LoginStore, mlflow_url: str) -> dict[str, Login]:
    """The logins to an MLflow under other names than one, by their stack; not those that have ended."""
    now, server = time.time(), canonical(mlflow_url)
    return {
        stack: login
        for stack, login in kept_logins().items()
        if stack != store.stack and canonical(login.mlflow_url) == server and not login.ended(now)
    }


def forget(stack: str, mlflow_url: str) -> bool:
    """Remove the login kept under the name of a stack, if it is one to that MLflow; whether there was one.

    It is not ended at Keycloak, which may be gone with the stack. A login that cannot be read is nobody's: it stays.
    """
    store = LoginStore(stack)
    with suppress(NotLoggedInError):
        login = store.find()
        if login is not None and canonical(login.mlflow_url) == canonical(mlflow_url):
            store.remove()
            return True
    return False
