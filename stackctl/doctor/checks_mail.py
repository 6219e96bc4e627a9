"""Does Keycloak reach its mail server, and does that speak as the settings say?"""

from __future__ import annotations

from collections.abc import Iterator

from components.keycloak import SERVER as KEYCLOAK
from stackctl.doctor.findings import Finding
from stackctl.doctor.observed import Observed
from stackctl.doctor.registry import Needs, check

SECONDS = 10
# Says hello (RFC 5321, sections 3.1 and 3.2) and writes what the server says. Only what a container of Keycloak has.
_HELLO = r"""
exec 3<> "/dev/tcp/$1/$2" || exit 3
[ "$3" = tls ] && exit 0
hear() {
  while IFS= read -r -t 8 -u 3 line; do
    printf '%s\n' "${line%$'\r'}"
    [[ $line == ???-* ]] || return 0
  done
  return 4
}
hear || exit 4
printf '\n'
printf 'EHLO localhost\r\n' >&3
hear || exit 4
printf 'QUIT\r\n' >&3
"""


@check(Needs.STACK)
def mail(seen: Observed) -> Iterator[Finding]:
    """The mail server of the settings. A login there is not tried, and no mail is sent."""
    server = seen.settings.realm.mail if seen.settings is not None else None
    keycloak = seen.instance(KEYCLOAK)
    if server is None or keycloak is None or not keycloak.running or seen.running is None:
        return
    command = ("bash", "-c", _HELLO, "mail", server.host, str(server.port), server.encryption)
    answer = seen.running.execute(keycloak, command, seconds=SECONDS)
    lines = answer.out.splitlines()
    evidence = f"Keycloak connects to {server.host}:{server.port}"
    fix = f"realm.mail in the settings of stack {seen.stack}, then {seen.remake(KEYCLOAK)}"
    refused = next((line for line in lines if line and not line.startswith("2")), "")
    if refused:
        yield Finding("mail-server", f"{evidence}: {refused[:200]}", "the server refuses Keycloak", fix)
    elif answer.code == 4 and not lines:
        cause = "nothing greets there: it is no mail server, or one that wants TLS at once (realm.mail.encryption: tls)"
        yield Finding("mail-server", f"{evidence}: no greeting in {SECONDS} s", cause, fix)
    elif answer.code:
        reason = " ".join(answer.error.split())[-200:] or f"no connection in {SECONDS} s"
        cause = "the server does not run, its name or port is wrong, or something between does not let Keycloak through"
        yield Finding("mail-server", f"{evidence}: {reason}", cause, fix)
    elif server.encryption == "starttls":
        # After the greeting and an empty line comes the server's name, and then what it can do.
        words = {line[4:].split(" ")[0].upper() for line in lines[lines.index("") + 2 :]}
        if "STARTTLS" not in words:
            cause = "the server has no STARTTLS: Keycloak would send in clear, or not at all"
            yield Finding("mail-server", f"{evidence}: it offers {', '.join(sorted(words)) or 'nothing'}", cause, fix)
