"""Makes the schemas of MLflow and of its plugin current before the server starts.

Safe with any number of replicas: one migrates while the others wait for its lock. Where both schemas
are current, which one query each tells, nothing heavy is imported.
"""

import json
import os
import sys
from pathlib import Path

import psycopg2

# Any number that no other program uses for an advisory lock of this database.
LOCK = 7166_5501


def current(url: str) -> "str | None":
    """The schema revision of a database; None when it is empty."""
    with psycopg2.connect(plain(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version')")
        if cursor.fetchone()[0] is None:
            return None
        cursor.execute("SELECT version_num FROM alembic_version")
        row = cursor.fetchone()
        return row[0] if row else None


def plain(url: str) -> str:
    """The address as libpq reads it, without SQLAlchemy's name of the driver."""
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)


def main() -> None:
    urls = {"mlflow": os.environ["MLFLOW_BACKEND_STORE_URI"], "oidc": os.environ["OIDC_USERS_DB_URI"]}
    heads = json.loads(Path("/opt/mlflow/heads.json").read_text())
    if all(current(url) == heads[name] for name, url in urls.items()) and not under_public_key(urls["mlflow"]):
        return
    with psycopg2.connect(plain(urls["mlflow"])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        for name, url in urls.items():
            found = current(url)
            if found != heads[name]:
                print(f"entrypoint: migrating {name} from {found or 'empty'} to {heads[name]}", file=sys.stderr)
                migrate(name, url, empty=found is None)
        if count := under_public_key(urls["mlflow"]):
            print(
                f"entrypoint: encrypting {count} secrets of the AI gateway under the stack's own key", file=sys.stderr
            )
            rewrap(urls["mlflow"])


def under_public_key(url: str) -> int:
    """How many of the gateway's secrets are under the passphrase in MLflow's source, where the stack has its own."""
    if int(os.environ.get("MLFLOW_CRYPTO_KEK_VERSION", "1")) < 2:
        return 0
    with psycopg2.connect(plain(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('secrets')")
        if cursor.fetchone()[0] is None:
            return 0
        cursor.execute("SELECT count(*) FROM secrets WHERE kek_version = 1")
        return cursor.fetchone()[0]


def rewrap(url: str) -> None:
    """Puts the keys of these secrets under the stack's own, all of them or none (`mlflow crypto rotate-kek`)."""
    from mlflow.utils.crypto import DEFAULT_KEK_PASSPHRASE, KEKManager, rotate_secret_encryption

    public, own = KEKManager(DEFAULT_KEK_PASSPHRASE, 1), KEKManager()
    with psycopg2.connect(plain(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT secret_id, encrypted_value, wrapped_dek FROM secrets WHERE kek_version = 1 FOR UPDATE")
        for secret, value, wrapped in cursor.fetchall():
            rotated = rotate_secret_encryption(bytes(value), bytes(wrapped), public, own)
            cursor.execute(
                "UPDATE secrets SET wrapped_dek = %s, kek_version = %s WHERE secret_id = %s",
                (rotated.wrapped_dek, own.kek_version, secret),
            )


def migrate(name: str, url: str, empty: bool) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    try:
        if name == "oidc":
            from mlflow_oidc_auth.db.utils import migrate_if_needed

            migrate_if_needed(engine, "head")
        else:
            from mlflow.store.db.utils import _initialize_tables, _upgrade_db

            (_initialize_tables if empty else _upgrade_db)(engine)
            if empty:
                # Makes the default experiment, which replicas would otherwise race for at their first request.
                from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

                SqlAlchemyStore(url, "mlflow-artifacts:/")
    finally:
        engine.dispose()


if __name__ == "__main__":
    try:
        main()
    except psycopg2.OperationalError as error:
        # libpq's message names host, user and database, and never the password.
        sys.exit(f"entrypoint: cannot reach the database: {str(error).strip()}")
