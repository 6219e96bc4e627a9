"""Rules within one group of settings: keys that exclude, need or bound each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from settings.derived import public_programs
from settings.known import Known
from settings.model import DatabaseLogin, Settings
from settings.wrong import Wrong


def _tls(settings: Settings, known: Known) -> Iterator[Wrong]:
    for part, group in public_programs(settings).items():
        key, tls = f"{part}.tls", group.tls
        files = known.values(f"{key}.certificateFile", f"{key}.keyFile")
        if files and bool(tls.certificate_file) != bool(tls.key_file):
            yield Wrong((key,), "", "expected certificateFile and keyFile together")
        elif tls.proxy and tls.certificate_file:
            yield Wrong((key,), "", "expected certificate files or proxy: true, not both")


def _stores(settings: Settings, known: Known) -> Iterator[Wrong]:
    given = [name for name in ("s3", "gcs", "azure") if getattr(settings.mlflow, name)]
    if len(given) > 1:
        places = tuple(f"mlflow.{name}" for name in given)
        yield Wrong(places, "", "expected one of them: artifacts are in one store")


def _access_key(settings: Settings, known: Known) -> Iterator[Wrong]:
    s3 = settings.mlflow.s3
    names = ("accessKeyId", "secretAccessKey", "existingSecret", "roleArn")
    if s3 is None or not known.presence(*(f"mlflow.s3.{name}" for name in names)):
        return
    keys = {"accessKeyId": s3.access_key_id, "secretAccessKey": s3.secret_access_key}
    if s3.existing_secret and any(keys.values()):
        yield Wrong(("mlflow.s3",), "", "expected existingSecret, or accessKeyId and secretAccessKey, not both")
    elif s3.role_arn and (s3.existing_secret or any(keys.values())):
        yield Wrong(("mlflow.s3",), "", "expected roleArn or an access key, not both")
    elsewhere = {"accessKeyId": "AWS_ACCESS_KEY_ID", "secretAccessKey": "AWS_SECRET_ACCESS_KEY"}
    missing = [name for name, value in keys.items() if not value and not _has_variable(settings, elsewhere[name])]
    if any(keys.values()) and missing and known.presence("mlflow.env", "mlflow.secretEnv"):
        yield Wrong((f"mlflow.s3.{missing[0]}",), "", "required with the other part of the access key, and not given")


def _direct(settings: Settings, known: Known) -> Iterator[Wrong]:
    s3, most = settings.mlflow.s3, settings.mlflow.limits.artifact_mib
    if s3 is None or not known.values("mlflow.s3.direct"):
        return
    if s3.public_url and not s3.direct and known.values("mlflow.s3.publicUrl"):
        yield Wrong(("mlflow.s3.publicUrl",), s3.public_url, "expected none without direct: true: nothing would use it")
    if s3.direct and most is not None and known.values("mlflow.limits.artifactMib"):
        expected = "expected none with mlflow.s3.direct: the server does not see what clients send to the store"
        yield Wrong(("mlflow.limits.artifactMib",), str(most), expected)


def _has_variable(settings: Settings, name: str) -> bool:
    return name in settings.mlflow.env or name in settings.mlflow.secret_env


def _cloud_keys(settings: Settings, known: Known) -> Iterator[Wrong]:
    gcs, azure = settings.mlflow.gcs, settings.mlflow.azure
    if gcs and known.presence("mlflow.gcs"):
        ways = {
            "serviceAccountKey": gcs.service_account_key,
            "existingSecret": gcs.existing_secret,
            "serviceAccount": gcs.service_account,
            "anonymous": gcs.anonymous,
        }
        yield from _one_way("mlflow.gcs", ways)
        if gcs.anonymous and not gcs.endpoint_url and known.values("mlflow.gcs.endpointUrl"):
            yield Wrong(("mlflow.gcs.endpointUrl",), "", "required with anonymous, and not given")
    if azure and known.presence("mlflow.azure"):
        keys = {"accountKey": azure.account_key, "existingSecret": azure.existing_secret}
        yield from _one_way("mlflow.azure", {**keys, "clientId": azure.client_id})
        if azure.endpoint_url and not any(keys.values()) and known.presence(*(f"mlflow.azure.{name}" for name in keys)):
            expected = "required with endpointUrl, and not given; or, on Kubernetes, existingSecret"
            yield Wrong(("mlflow.azure.accountKey",), "", expected)


def _one_way(where: str, ways: Mapping[str, object]) -> Iterator[Wrong]:
    given = [name for name, value in ways.items() if value]
    if len(given) > 1:
        yield Wrong((where,), "", f"expected one of {' and '.join(given)}")


def _lifetimes(settings: Settings, known: Known) -> Iterator[Wrong]:
    times = settings.realm.lifetimes
    idle = ("ssoIdleSeconds", times.sso_idle_seconds)
    bounds = (
        (idle, "<=", ("ssoMaxSeconds", times.sso_max_seconds)),
        (("accessTokenSeconds", times.access_token_seconds), "<=", idle),
        (("offlineIdleSeconds", times.offline_idle_seconds), ">=", idle),
    )
    broken = []
    for (first, one), sign, (second, other) in bounds:
        holds = one <= other if sign == "<=" else one >= other
        if not holds and known.values(f"realm.lifetimes.{first}", f"realm.lifetimes.{second}"):
            broken.append(f"{first} ({one}) {sign} {second} ({other})")
    if broken:
        yield Wrong(("realm.lifetimes",), "", f"expected {' and '.join(broken)}")


def _jobs(settings: Settings, known: Known) -> Iterator[Wrong]:
    tls = settings.mlflow.tls
    if settings.mlflow.jobs is not None and tls.certificate_file and known.values("mlflow.tls.certificateFile"):
        expected = (
            "expected mlflow.tls.proxy, or none of them: jobs call MLflow by its name inside, which the certificate "
            "is not for"
        )
        yield Wrong(("mlflow.jobs", "mlflow.tls.certificateFile"), tls.certificate_file, expected)


def _groups(settings: Settings, known: Known) -> Iterator[Wrong]:
    groups = settings.realm.groups
    given = {"realm.groups.admins": groups.admins, "realm.groups.users": groups.users}
    every = [
        name
        for key, names in given.items()
        if known.presence(key)
        for i, name in enumerate(names)
        if known.values(f"{key}[{i}]")
    ]
    twice = sorted({name for name in every if every.count(name) > 1})
    if twice:
        yield Wrong(("realm.groups",), "", f"expected each group once; twice: {', '.join(twice)}")


def _databases(settings: Settings, known: Known) -> Iterator[Wrong]:
    external = settings.postgres.external
    if external is None:
        return
    logins: dict[str, DatabaseLogin | None] = {
        "keycloak": external.keycloak,
        "mlflow": external.mlflow,
        "oidc": external.oidc,
    }
    for part, login in logins.items():
        key = f"postgres.external.{part}"
        if login is None or not known.presence(f"{key}.password", f"{key}.existingSecret"):
            continue
        if (login.password is None) == (login.existing_secret is None):
            yield Wrong((key,), "", "expected password or, on Kubernetes, existingSecret")


def _postgres(settings: Settings, known: Known) -> Iterator[Wrong]:
    if settings.postgres.external and settings.postgres.separate_keycloak:
        yield Wrong(("postgres",), "", "expected external or separateKeycloak, not both")


def _redis(settings: Settings, known: Known) -> Iterator[Wrong]:
    external = settings.redis.external
    if external and external.password and external.existing_secret:
        yield Wrong(("redis.external",), "", "expected password or existingSecret, not both")


def _entrance(settings: Settings, known: Known) -> Iterator[Wrong]:
    ingress = settings.kubernetes.ingress
    if settings.kubernetes.gateway and ingress:
        yield Wrong(("kubernetes",), "", "expected gateway or ingress, not both")
    if ingress is None:
        return
    ways = {"tlsSecret": ingress.tls_secret, "issuer": ingress.issuer, "clusterIssuer": ingress.cluster_issuer}
    one = sum(bool(way) for way in ways.values()) == 1
    if not one and known.values(*(f"kubernetes.ingress.{name}" for name in ways)):
        yield Wrong(("kubernetes.ingress",), "", "expected one of tlsSecret, issuer and clusterIssuer")


GROUP_RULES = (
    _tls, _stores, _access_key, _direct, _cloud_keys, _jobs, _lifetimes, _groups, _databases, _postgres, _redis,
    _entrance,
)  # fmt: skip
