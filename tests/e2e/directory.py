"""An OpenLDAP server in a container: Debian's slapd with people, groups, and groups in groups."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from settings import PROJECT
from settings.catalogue import base_ref, load_versions
from tests.e2e.certificates import self_signed
from tests.e2e.harness import docker, eventually, free_ports, gateway

BASE = base_ref(next(iter(load_versions().debian.suites)))
RECIPE = f"""
FROM {BASE}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slapd ldap-utils
"""
SUFFIX = "dc=acme,dc=example"
PEOPLE_DN, GUESTS_DN, GROUPS_DN = (f"ou={unit},{SUFFIX}" for unit in ("people", "guests", "groups"))
GUEST = "zed"
ADMIN, READER = f"cn=admin,{SUFFIX}", f"cn=keycloak,{SUFFIX}"
ADMIN_PASSWORD = "of-the-administrator"
PASSWORD = "of-a-person-there"
# Somebody's groups are said of them too, where they are written while the server runs (slapo-memberof).
_CONFIG = f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile /tmp/slapd.pid
TLSCertificateFile /given/ca.pem
TLSCertificateKeyFile /given/key.pem
database mdb
suffix "{SUFFIX}"
rootdn "{ADMIN}"
rootpw {ADMIN_PASSWORD}
directory /data
index objectClass,uid,cn,member eq
overlay memberof
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{READER}" read by * none
"""
_START = (
    "if mkdir /data 2> /dev/null; then slapadd -f /given/slapd.conf -l /given/people.ldif; fi; "
    'exec slapd -d 0 -f /given/slapd.conf -h "ldap://:389 ldaps://:636"'
)


def built(recipe: str) -> str:
    """An image by its recipe, which is made where it is not there."""
    image = f"{PROJECT}/directory:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if subprocess.run(("docker", "image", "inspect", image), capture_output=True, check=False).returncode != 0:
        command = ("docker", "build", "-q", "-t", image, "-")
        subprocess.run(command, input=recipe, text=True, check=True, capture_output=True)
    return image


@dataclass
class Directory:
    """groups: their members' names, or those of other groups with an & before them. password: that of Keycloak."""

    folder: Path
    people: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    password: str = "of-keycloak-there"
    host: str = field(default_factory=gateway)
    ports: list[int] = field(default_factory=lambda: free_ports(2))

    @property
    def container(self) -> str:
        return f"{PROJECT}-directory-{self.ports[0]}"

    @property
    def url(self) -> str:
        return f"ldap://{self.host}:{self.ports[0]}"

    @property
    def secure_url(self) -> str:
        return f"ldaps://{self.host}:{self.ports[1]}"

    @property
    def authority(self) -> Path:
        """The CA of its certificate."""
        return self.folder / "ca.pem"

    @contextmanager
    def running(self) -> Iterator[None]:
        image = built(RECIPE)
        self_signed(self.folder, self.host)
        (self.folder / "key.pem").chmod(0o644)
        (self.folder / "slapd.conf").write_text(_CONFIG)
        (self.folder / "people.ldif").write_text("\n\n".join(self._people()) + "\n")
        published = [f"-p={self.host}:{ours}:{its}" for ours, its in zip(self.ports, (389, 636), strict=True)]
        given = f"-v={self.folder}:/given:ro"
        docker("run", "-d", "--name", self.container, *published, given, image, "sh", "-c", _START)
        try:
            self.wait()
            self._tell("ldapadd", "\n\n".join(self._groups()) + "\n")
            yield
        finally:
            docker("rm", "-fv", self.container)

    def stop(self) -> None:
        docker("stop", "-t", "1", self.container)

    def start(self) -> None:
        docker("start", self.container)
        self.wait()

    def wait(self) -> None:
        asked = ("ldapsearch", "-x", "-H", "ldap://localhost", "-b", "", "-s", "base")
        command = ("docker", "exec", self.container, *asked)
        eventually(
            lambda: subprocess.run(command, capture_output=True, check=False).returncode,
            lambda code: code == 0, "the directory answers",
        )  # fmt: skip

    def change(self, entry: str, *lines: str) -> None:
        """Change an entry, in the words of LDIF (RFC 2849)."""
        self._tell("ldapmodify", "\n".join((f"dn: {entry}", "changetype: modify", *lines)) + "\n")

    def _tell(self, command: str, text: str) -> None:
        login = ("-x", "-H", "ldap://localhost", "-D", ADMIN, "-w", ADMIN_PASSWORD)
        words = ("docker", "exec", "-i", self.container, command, *login)
        subprocess.run(words, input=text, text=True, check=True, capture_output=True)

    def leave(self, name: str, group: str) -> None:
        self.change(group_dn(group), "delete: member", f"member: {person_dn(name)}")

    def join(self, name: str, group: str) -> None:
        self.change(group_dn(group), "add: member", f"member: {person_dn(name)}")

    def remove(self, name: str) -> None:
        command = ("ldapdelete", "-x", "-H", "ldap://localhost", "-D", ADMIN, "-w", ADMIN_PASSWORD, person_dn(name))
        docker("exec", self.container, *command)

    def _people(self) -> Iterator[str]:
        yield f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Acme\ndc: acme"
        for unit in (PEOPLE_DN, GUESTS_DN, GROUPS_DN, f"ou=decoys,{GROUPS_DN}"):
            yield f"dn: {unit}\nobjectClass: organizationalUnit"
        yield f"dn: {READER}\nobjectClass: person\ncn: keycloak\nsn: keycloak\nuserPassword: {self.password}"
        for name in (*self.people, GUEST):
            place = GUESTS_DN if name == GUEST else PEOPLE_DN
            yield "\n".join((
                f"dn: {person_dn(name, place)}", "objectClass: inetOrgPerson", f"uid: {name}", f"cn: {name}",
                "sn: There", f"givenName: {name.capitalize()}", f"mail: {name}@acme.example",
                f"userPassword: {PASSWORD}",
            ))  # fmt: skip

    def _groups(self) -> Iterator[str]:
        for name, members in self.groups.items():
            lines = [f"member: {group_dn(one[1:]) if one[0] == '&' else person_dn(one)}" for one in members]
            yield "\n".join((f"dn: {group_dn(name)}", "objectClass: groupOfNames", *lines))


def person_dn(name: str, place: str = PEOPLE_DN) -> str:
    return f"uid={_quoted(name)},{place}"


def group_dn(name: str) -> str:
    """name: of a group, or its place as in a path."""
    *units, last = name.split("/")
    return ",".join((f"cn={_quoted(last)}", *(f"ou={unit}" for unit in reversed(units)), GROUPS_DN))


def _quoted(value: str) -> str:
    """A value in a distinguished name (RFC 4514, section 2.4)."""
    return "".join(f"\\{sign}" if sign in '\\,+"<>;=' else sign for sign in value)
