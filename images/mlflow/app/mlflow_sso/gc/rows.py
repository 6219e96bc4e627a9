"""What MLflow's database says of deleted experiments, runs and models, and of their traces."""

import time
from dataclasses import dataclass, field
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.gc.places import Places, own_folder

# Of ids in one question to the database.
_MANY = 500


@dataclass
class Gone:
    """One thing that was deleted.

    folders: where its artifacts are. deleted: when it was, in milliseconds since 1970; None where MLflow did not say.
    registered: versions of registered models that take their files from it.
    """

    kind: str
    id: str
    name: str
    experiment: str
    deleted: int | None
    folders: list[str]
    registered: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    traces: int = 0


class Rows:
    """The tracking store's database.

    uri: its address, which is never shown. places: the folders that its rows name. own: whether nothing but this server
    writes to its place of artifacts, so that a folder that it made for an experiment is that experiment's as a whole. A
    bucket may have other servers in it.
    """

    def __init__(self, uri: str, places: Places, own: bool) -> None:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        self._places, self._own = places, own
        self.store: Any = SqlAlchemyStore(uri, "mlflow-artifacts:/")

    def deleted(self, older_than_ms: int) -> list[Gone]:
        """Experiments, then runs and models that no such experiment takes along."""
        experiments = self._experiments(older_than_ms)
        taken = {one for experiment in experiments for one in (*experiment.runs, *experiment.models)}
        runs = [run for run in self.store._get_deleted_runs(older_than_ms) if run not in taken]
        models = [model for model in self.store._get_deleted_logged_models(older_than_ms) if model not in taken]
        return [*experiments, *map(self.run, runs), *map(self.model, models)]

    def run(self, run_id: str) -> Gone:
        """Raises LookupError where it is not there, or not deleted any more."""
        from mlflow.store.tracking.dbmodels.models import SqlRun

        with self.store.ManagedSessionMaker(read_only=True) as session:
            row = _deleted(session.get(SqlRun, run_id), "run")
            folder = own_folder(row.artifact_uri, run_id)
            gone = Gone("run", run_id, row.name or "", str(row.experiment_id), row.deleted_time, [folder])
            gone.registered = _versions(session, [run_id], [])
        return gone

    def model(self, model_id: str) -> Gone:
        """Raises LookupError where it is not there, or not deleted any more."""
        from mlflow.store.tracking.dbmodels.models import SqlLoggedModel

        with self.store.ManagedSessionMaker(read_only=True) as session:
            row = _deleted(session.get(SqlLoggedModel, model_id), "model")
            folder = own_folder(row.artifact_location, model_id)
            when = row.last_updated_timestamp_ms
            gone = Gone("model", model_id, row.name or "", str(row.experiment_id), when, [folder])
            gone.registered = _versions(session, [], [model_id])
        return gone

    def experiment(self, experiment_id: str) -> Gone:
        """With all that is in it. Raises LookupError where it is not there, or not deleted any more."""
        from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun, SqlTraceInfo

        with self.store.ManagedSessionMaker(read_only=True) as session:
            row = _deleted(session.get(SqlExperiment, int(experiment_id)), "experiment")
            chosen = row.experiment_id
            runs = session.query(SqlRun.run_uuid, SqlRun.artifact_uri).filter(SqlRun.experiment_id == chosen).all()
            models = session.query(SqlLoggedModel.model_id, SqlLoggedModel.artifact_location)
            models = models.filter(SqlLoggedModel.experiment_id == chosen).all()
            traces = session.query(SqlTraceInfo.request_id).filter(SqlTraceInfo.experiment_id == chosen)
            place = row.artifact_location
            if self._is_own(chosen, place) and not self._is_shared(session, chosen, place):
                folders = [place]
            else:
                folders = [own_folder(address, name) for name, address in (*runs, *models)]
                folders += [f"{place.rstrip('/')}/traces/{name}" for (name,) in traces]
            gone = Gone("experiment", str(chosen), row.name, str(chosen), row.last_update_time, folders)
            gone.runs, gone.models = [one for one, _ in runs], [one for one, _ in models]
            gone.traces = traces.count()
            gone.registered = _versions(session, gone.runs, gone.models)
        return gone

    def living(self) -> dict[str, str]:
        """The experiments that are there, deleted or not: where each one's folder is, if that is its own, by ids."""
        from mlflow.store.tracking.dbmodels.models import SqlExperiment

        with self.store.ManagedSessionMaker(read_only=True) as session:
            found = session.query(SqlExperiment.experiment_id, SqlExperiment.artifact_location).all()
            own = {one: place for one, place in found if self._is_own(one, place)}
            return {
                str(one): own[one] if one in own and not self._is_shared(session, one, own[one]) else ""
                for one, _ in found
            }

    def known_traces(self, names: list[str]) -> set[str]:
        """Those of these traces that have a row."""
        from mlflow.store.tracking.dbmodels.models import SqlTraceInfo

        known = set[str]()
        with self.store.ManagedSessionMaker(read_only=True) as session:
            for start in range(0, len(names), _MANY):
                some = names[start : start + _MANY]
                asked = session.query(SqlTraceInfo.request_id).filter(SqlTraceInfo.request_id.in_(some))
                known |= {name for (name,) in asked}
        return known

    def still(self, gone: Gone) -> None:
        """Raises LookupError where a thing is not deleted any more: somebody restored it meanwhile."""
        from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun

        tables: dict[str, tuple[Any, Any]] = {
            "experiment": (SqlExperiment, SqlExperiment.experiment_id == int(gone.experiment)),
            "run": (SqlRun, SqlRun.run_uuid == gone.id),
            "model": (SqlLoggedModel, SqlLoggedModel.model_id == gone.id),
        }
        table, condition = tables[gone.kind]
        with self.store.ManagedSessionMaker(read_only=True) as session:
            _deleted(session.query(table.lifecycle_stage).filter(condition).first(), gone.kind)

    def remove(self, gone: Gone) -> None:
        """Takes the rows of a thing away, as `mlflow gc` does. Raises LookupError for one that is not deleted."""
        self.still(gone)
        for run in gone.runs if gone.kind == "experiment" else [gone.id] if gone.kind == "run" else []:
            self.store._hard_delete_run(run)
        for model in gone.models if gone.kind == "experiment" else [gone.id] if gone.kind == "model" else []:
            self.store._hard_delete_logged_model(model)
        if gone.kind == "experiment":
            # What is left is loaded as a whole when its experiment goes, so that many traces go before, in pieces.
            while self.store._delete_traces(gone.id, max_timestamp_millis=2**62, max_traces=_MANY):
                pass
            self.store._hard_delete_experiment(gone.id)

    def _is_own(self, experiment: int, place: str) -> bool:
        return self._own and bool(place == self.store._get_artifact_location(experiment))

    def _is_shared(self, session: Any, experiment: int, place: str) -> bool:
        """Whether another experiment's artifacts are at a place or below it, whoever chose that."""
        from mlflow.store.tracking.dbmodels.models import SqlExperiment

        others = session.query(SqlExperiment.artifact_location).filter(SqlExperiment.experiment_id != experiment)
        mine = self._places.folder(place)
        return any(f"{self._places.folder(other)}/".startswith(f"{mine}/") for (other,) in others if other)

    def _experiments(self, older_than_ms: int) -> list[Gone]:
        from mlflow.store.tracking.dbmodels.models import SqlExperiment

        before = int(time.time() * 1000) - older_than_ms
        with self.store.ManagedSessionMaker(read_only=True) as session:
            chosen = session.query(SqlExperiment.experiment_id).filter(
                SqlExperiment.lifecycle_stage == "deleted", SqlExperiment.last_update_time <= before
            )
            found = [str(experiment) for (experiment,) in chosen]
        return [self.experiment(experiment) for experiment in found]


def _deleted(row: Any, kind: str) -> Any:
    if row is None:
        raise LookupError(f"there is no such {kind} any more")
    if row.lifecycle_stage != "deleted":
        raise LookupError(f"the {kind} was restored")
    return row


def _versions(session: Any, runs: list[str], models: list[str]) -> list[str]:
    """The versions of registered models, name and number, whose files these hold."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

    found = set[str]()
    for start in range(0, len(runs), _MANY):
        some = SqlModelVersion.run_id.in_(runs[start : start + _MANY])
        rows = session.query(SqlModelVersion.name, SqlModelVersion.version).filter(some)
        found |= {f"{name} {version}" for name, version in rows if version is not None}
    for model in models:
        rows = session.query(SqlModelVersion.name, SqlModelVersion.version).filter(
            SqlModelVersion.source.contains(model, autoescape=True)
        )
        found |= {f"{name} {version}" for name, version in rows if version is not None}
    return sorted(found)


def reads() -> None:
    """Says which functions of MLflow this is written after (`mlflow gc`, 3.17.2)."""
    from mlflow import cli
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    upstream.reads(cli, "_gc_tracking_resources", "5b4faf3a0ee58145")
    for name, digest in (
        ("_hard_delete_run", "31dda9d5e40360e7"),
        ("_hard_delete_logged_model", "1f658890f45f30f8"),
        ("_hard_delete_experiment", "ab45a09fd56e10f0"),
        ("_delete_traces", "6cabb1bfb9f01cbc"),
    ):
        upstream.reads(SqlAlchemyStore, name, digest)
