"""How images are built: from a row and a folder alone, with what the row asks for, and only where one is missing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings.catalogue import base_ref, image_ref, load_versions, refs
from settings.image_rows import Download, Versions
from stackctl.errors import ImageError
from stackctl.images.build import Builder, build
from stackctl.images.downloads import fetch
from tests.fakes import FakeDocker
from tests.unit.fakes import Fake, fake_server
from tests.unit.image_tree import NAME, PROGRAM, plant, section

SUM = hashlib.sha256(PROGRAM).hexdigest()
# Keeps each context, below the name and tag of the image that is built from it.
_KEEP = """\
#!/bin/sh
if [ "$1" = build ]; then
  for context; do :; done
  mkdir -p "{kept}/$4"
  cp -R "$context/." "{kept}/$4"
fi
"""


@pytest.fixture
def server() -> Iterator[Fake]:
    with fake_server() as fake:
        fake.routes["GET /program.bin"] = (200, PROGRAM.decode())
        yield fake


@pytest.fixture
def planted(tmp_path: Path, server: Fake) -> Versions:
    """The project's images and one more, of which only that one lacks."""
    tree = tmp_path / "tree"
    tree.mkdir()
    return load_versions(plant(tree, section(f"{server.url}/program.bin")))


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: Versions) -> FakeDocker:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    fake = FakeDocker(tmp_path / "docker", monkeypatch)
    script = fake.path.read_text()
    fake.path.write_text(script.replace("#!/bin/sh\n", _KEEP.format(kept=tmp_path / "kept"), 1))
    there = [tag for name, tag in refs(versions=planted).items() if name != NAME]
    fake.images(*there, *(base_ref(suite, versions=planted) for suite in planted.debian.suites))
    return fake


def arguments(call: str) -> dict[str, str]:
    return dict(re.findall(r"--build-arg (\w+)=(\S+)", call))


def test_a_row_and_a_folder_are_built(docker: FakeDocker, planted: Versions, tmp_path: Path) -> None:
    told: list[str] = []
    made = build(progress=told.append, versions=planted)
    tag = made[NAME]
    (call,) = [call for call in docker.calls if call.startswith("build ")]
    assert f"-t {tag} " in call
    assert arguments(call) == {"BASE": base_ref("trixie", versions=planted), "VERSION": "2", "FLAVOUR": "plain"}
    context = tmp_path / "kept" / tag
    assert sorted(p.name for p in context.iterdir()) == [
        "Dockerfile",
        "build-ca.pem",
        "program.bin",
        "requirements.txt",
    ]
    assert (context / "program.bin").read_bytes() == PROGRAM
    assert (context / "requirements.txt").read_text() == "six==1.17.0\n"
    assert [line for line in told if f"{tag}: built" in line] != []


def test_another_version_is_built_from_its_own_row(docker: FakeDocker, planted: Versions) -> None:
    build({NAME: "1"}, progress=lambda _: None, versions=planted)
    (call,) = [call for call in docker.calls if call.startswith("build ")]
    assert f"-t {image_ref(NAME, '1', versions=planted)} " in call
    assert arguments(call) == {"BASE": base_ref("bookworm", versions=planted), "VERSION": "1", "FLAVOUR": "old"}


def test_a_base_that_lacks_is_made_first(docker: FakeDocker, planted: Versions) -> None:
    docker.images(*(tag for name, tag in refs(versions=planted).items() if name != NAME))
    build(progress=lambda _: None, versions=planted)
    tags = [call.split()[3] for call in docker.calls if call.startswith("build ")]
    assert tags == [base_ref("trixie", versions=planted), image_ref(NAME, versions=planted)]


def test_nothing_is_built_where_nothing_lacks(docker: FakeDocker, planted: Versions) -> None:
    docker.images(*refs(versions=planted).values())
    assert build(versions=planted) == refs(versions=planted)
    assert [call for call in docker.calls if not call.startswith("image ls")] == []


def test_what_a_stack_does_not_run_is_not_built(docker: FakeDocker, planted: Versions) -> None:
    every = refs(versions=planted)
    assert build(versions=planted, used=[every["redis"]]) == {"redis": every["redis"]}
    assert [call for call in docker.calls if call.startswith("build ")] == []


def test_what_schemas_are_taken_from_is_built_with_them(
    docker: FakeDocker, planted: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, made = refs(versions=planted), list[str]()
    docker.images(base_ref("trixie", versions=planted), base_ref("bookworm", versions=planted))
    monkeypatch.setattr(Builder, "make", lambda _, name, ref: made.append(name) if ref == every[name] else None)
    build(progress=lambda _: None, versions=planted, used=[every["mlflow"], every["postgres-seeded"]])
    assert made == ["postgres", "keycloak", "mlflow", "postgres-seeded"]


def test_a_build_that_fails_says_why_and_keeps_what_there_is(docker: FakeDocker, planted: Versions) -> None:
    docker.fail("build", "no space left on device")
    with pytest.raises(ImageError, match=r"(?s)throw-away:2-\w+ could not be built.*no space left on device"):
        build(progress=lambda _: None, versions=planted)


@pytest.mark.parametrize("answer", [(404, "nothing"), (200, "another program")])
def test_what_is_not_the_file_that_was_meant_is_not_used(
    answer: tuple[int, str], docker: FakeDocker, planted: Versions, server: Fake, tmp_path: Path
) -> None:
    server.routes["GET /program.bin"] = answer
    with pytest.raises(ImageError, match=r"throw-away 2: program\.bin (cannot be downloaded|is not the file)"):
        build(progress=lambda _: None, versions=planted)
    assert [call for call in docker.calls if call.startswith("build ")] == []
    assert list((tmp_path / "cache/mlflow-sso/downloads").iterdir()) == []
    server.routes["GET /program.bin"] = (200, PROGRAM.decode())
    build(progress=lambda _: None, versions=planted)


def test_a_file_is_downloaded_once(server: Fake, tmp_path: Path) -> None:
    wanted = Download(url=f"{server.url}/program.bin", sha256=SUM)
    first = fetch("echo", wanted, tmp_path, None)
    assert fetch("echo", wanted, tmp_path, None) == first
    assert server.times("GET /program.bin") == 1


def test_an_artifact_comes_from_the_local_maven_repository_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that reaches no other repository is given the file this way, under the name that Maven gives it."""
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    folder = tmp_path / "m2/org/example/echo/2"
    folder.mkdir(parents=True)
    (folder / "echo-2.zip").write_bytes(PROGRAM)
    wanted = Download(maven="org.example:echo:2:zip", sha256=SUM)
    assert fetch("echo", wanted, tmp_path, None).read_bytes() == PROGRAM
    (folder / "echo-2.zip").write_bytes(b"another")
    with pytest.raises(ImageError, match=r"echo is not the file versions\.yaml names"):
        fetch("echo", wanted, tmp_path, None)
