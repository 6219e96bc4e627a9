"""Grants of the plugin on experiments, and on scorers of experiments, that are no more."""

from collections.abc import Collection, Iterator
from typing import Any

_KEY = "experiment_id"


class Grants:
    """The plugin's database. uri: its address, which is never shown."""

    def __init__(self, uri: str) -> None:
        import sqlalchemy

        self._engine = sqlalchemy.create_engine(uri)

    def named(self) -> set[str]:
        """The experiments that grants name."""
        from sqlalchemy import select

        with self._engine.connect() as connection:
            columns = (getattr(model, _KEY) for model in _tables())
            return {str(name) for column in columns for (name,) in connection.execute(select(column).distinct())}

    def count(self, experiments: Collection[str]) -> int:
        """How many grants name these."""
        from sqlalchemy import func, select

        with self._engine.connect() as connection:
            return sum(
                int(connection.execute(select(func.count()).where(getattr(model, _KEY).in_(experiments))).scalar() or 0)
                for model in _tables()
            )

    def remove(self, experiments: Collection[str]) -> int:
        """Takes these grants away, all or none; how many there were."""
        from sqlalchemy import delete

        with self._engine.begin() as connection:
            ways = [delete(model).where(getattr(model, _KEY).in_(experiments)) for model in _tables()]
            return sum(int(connection.execute(way).rowcount) for way in ways)


def _tables() -> Iterator[Any]:
    from mlflow_oidc_auth.permission_kinds import table_owning_kinds

    for kind in table_owning_kinds():
        if _KEY in kind.key_columns:
            yield from (kind.user_model, kind.group_model)
