"""People of an Active Directory, which is Samba's, log in: groups in groups count, and who is disabled there is out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from settings import PROJECT
from tests.e2e.access.somebody import REFUSED, Somebody
from tests.e2e.certificates import self_signed
from tests.e2e.directory import BASE, built
from tests.e2e.harness import Client, Stack, docker, eventually, free_ports, gateway
from tests.e2e.keycloak import KeycloakAdmin

RECIPE = f"""
FROM {BASE}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    samba samba-ad-dc samba-ad-provision winbind python3-setproctitle
"""
PASSWORD = "Of-a-Person-1"
# Nobody there has a name that is spelled in small letters alone.
PEOPLE = ("Ada", "Ben", "Eve", "Dan", "Fay#EXT#")
SETUP = "\n".join((
    "set -e",
    "samba-tool user create keycloak Of-Keycloak-1",
    *(
        f"samba-tool user create '{name}' {PASSWORD} --given-name={name[:3]} --surname=There "
        f"--mail-address={name[:3]}@acme.example"
        for name in PEOPLE
    ),
    "samba-tool group add 'ML Admins'",
    "samba-tool group add ml-users",
    "samba-tool group add team",
    "samba-tool group addmembers 'ML Admins' Ada",
    "samba-tool group addmembers ml-users 'Ben,team,Fay#EXT#'",
    "samba-tool group addmembers team Eve",
))  # fmt: skip
START = """
rm -f /etc/samba/smb.conf
samba-tool domain provision --realm=ACME.EXAMPLE --domain=ACME --server-role=dc --dns-backend=NONE \
  --adminpass=Of-the-Admin-1 > /tmp/log 2>&1 || { tail -20 /tmp/log; exit 1; }
install -d -m 0700 /var/lib/samba/private/tls
for part in ca cert; do install -m 0600 /given/ca.pem /var/lib/samba/private/tls/$part.pem; done
install -m 0600 /given/key.pem /var/lib/samba/private/tls/key.pem
exec samba -F --no-process-group
"""
USERS_DN = "CN=Users,DC=acme,DC=example"


@dataclass
class ActiveDirectory:
    folder: Path
    host: str = field(default_factory=gateway)
    port: int = field(default_factory=lambda: free_ports(1)[0])

    @property
    def container(self) -> str:
        return f"{PROJECT}-directory-{self.port}"

    def tool(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(("docker", "exec", self.container, *words), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ActiveDirectory]:
    made = ActiveDirectory(tmp_path_factory.mktemp("ad"))
    self_signed(made.folder, made.host)
    # Its programs set attributes of files that only this right lets them.
    docker(
        "run", "-d", "--name", made.container, "--cap-add", "SYS_ADMIN", f"-p={made.host}:{made.port}:636",
        f"-v={made.folder}:/given:ro", built(RECIPE), "bash", "-c", START,
    )  # fmt: skip
    try:
        eventually(lambda: made.tool("samba-tool", "user", "list").returncode, lambda code: code == 0, "Samba", 180)
        done = made.tool("bash", "-c", SETUP)
        assert done.returncode == 0, done.stdout + done.stderr
        yield made
    finally:
        docker("rm", "-fv", made.container)


@pytest.fixture(scope="module")
def stack(directory: ActiveDirectory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    declared = {
        "name": "acme",
        "kind": "ad",
        "urls": [f"ldaps://{directory.host}:{directory.port}"],
        "bindDn": f"CN=keycloak,{USERS_DN}",
        "bindPassword": "Of-Keycloak-1",
        "usersDn": USERS_DN,
        "groupsDn": USERS_DN,
        "groups": {f"CN=ML Admins,{USERS_DN}": "mlflow-admins", "ml-users": "mlflow-users"},
    }
    made = Stack.make(
        "compose", tmp_path_factory.mktemp("people"), caBundle=str(directory.folder / "ca.pem"),
        realm={"ldap": [declared]},
    )  # fmt: skip
    with made.running():
        yield made


def somebody(stack: Stack, name: str) -> Somebody:
    outputs = stack.outputs()
    return Somebody(Client(outputs), KeycloakAdmin(outputs), name.lower(), "", PASSWORD)


@pytest.mark.parametrize(
    ("name", "standing"),
    [
        ("Ada", "administrator"),
        ("Ben", "mlflow-users"),
        ("Eve", "mlflow-users"),
        ("Dan", REFUSED),
        ("Fay#EXT#", "mlflow-users"),
    ],
)
def test_people_come_in_with_the_rights_of_their_groups_and_of_groups_in_groups(
    stack: Stack, name: str, standing: str
) -> None:
    one = somebody(stack, name)
    assert one.bearer() == standing
    if standing != REFUSED:
        assert one.pages(one.browser()) == standing


def test_who_is_disabled_there_is_out(stack: Stack, directory: ActiveDirectory) -> None:
    one = somebody(stack, "Eve")
    personal = one.personal_token()
    assert one.personal(personal) == "mlflow-users"
    assert directory.tool("samba-tool", "user", "disable", "Eve").returncode == 0
    # Keycloak says so of everybody there, too, while a directory is away: five minutes are let pass.
    eventually(lambda: one.personal(personal), lambda found: found == REFUSED, "the personal token's end", 400)
    answer = one.client.grant(
        grant_type="password", client_id=stack.outputs()["client_id"], username="eve", password=PASSWORD,
        client_secret=stack.outputs()["client_secret"],
    )  # fmt: skip
    assert answer.status_code in (400, 401)


def test_everybody_is_there_after_a_sync(stack: Stack) -> None:
    stack.config["realm"]["ldap"][0]["fullSyncSeconds"] = 60
    stack.up()
    keycloak = KeycloakAdmin(stack.outputs())

    def names() -> set[str]:
        return {row["username"] for row in keycloak.get(f"/{keycloak.realm}/users?max=1000")}

    eventually(names, lambda found: found >= {name.lower() for name in PEOPLE}, "the sync", 120)
    (found,) = keycloak.get(f"/{keycloak.realm}/components?type=org.keycloak.storage.UserStorageProvider")
    assert found["config"]["vendor"] == ["ad"]
