"""What can go, and its removal, over the rows, the folders and the grants together."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from mlflow_sso.gc.grants import Grants
from mlflow_sso.gc.places import Places
from mlflow_sso.gc.rows import Gone, Rows

# Ids that MLflow makes for traces (`mlflow.tracing.utils.generate_trace_id_v3`, and before that 128 bits alone).
_TRACE = re.compile(r"(tr-)?[0-9a-f]{32}")


class Trash:
    """What was deleted, of one server."""

    def __init__(self, rows: Rows, places: Places, grants: Grants) -> None:
        self._rows, self._places, self._grants = rows, places, grants

    def shown(self, older_than_ms: int) -> dict[str, Any]:
        """Each thing that was deleted, with what it takes, traces that left folders behind, and grants on nothing."""
        named = self._grants.named()
        gone = self._rows.deleted(older_than_ms)
        experiments = {one.id for one in gone if one.kind == "experiment"}
        rows = [self._row(one) for one in gone]
        living = self._rows.living()
        for experiment, place in living.items():
            if place and experiment not in experiments and (folders := self._left_traces(place)):
                rows.append(self._measured({"kind": "traces", "id": experiment, "traces": len(folders)}, folders))
        stale = (named - living.keys()) | (named & experiments)
        return {"things": rows, "grants": self._grants.count(stale) if stale else 0}

    def remove(self, kind: str, name: str) -> str | None:
        """Removes a thing. What it fails with is answered, and stops no other."""
        ways: dict[str, Callable[[str], None]] = {
            "experiment": lambda one: self._remove(self._rows.experiment(one)),
            "run": lambda one: self._remove(self._rows.run(one)),
            "model": lambda one: self._remove(self._rows.model(one)),
            "traces": self._remove_left_traces,
        }
        try:
            ways[kind](name)
        except Exception as error:
            return _reason(error)
        return None

    def remove_grants(self) -> int:
        """Takes away the grants on experiments that are no more."""
        # An experiment is there before the first grant on it, so the grants are asked for first.
        named = self._grants.named()
        stale = named - set(self._rows.living())
        return self._grants.remove(stale) if stale else 0

    def _row(self, gone: Gone) -> dict[str, Any]:
        row = {
            "kind": gone.kind,
            "id": gone.id,
            "name": gone.name,
            "experiment": gone.experiment,
            "deleted": gone.deleted,
            "runs": len(gone.runs),
            "models": len(gone.models),
            "traces": gone.traces,
            "registered": gone.registered,
        }
        return self._measured(row, gone.folders)

    def _measured(self, row: dict[str, Any], folders: Sequence[str]) -> dict[str, Any]:
        try:
            return {**row, "bytes": sum(self._places.size(folder) for folder in folders)}
        except Exception as error:
            return {**row, "bytes": None, "trouble": _reason(error)}

    def _remove(self, gone: Gone) -> None:
        # A row whose artifacts stay is found again by the next run; artifacts without a row would be found by nobody.
        for folder in gone.folders:
            self._rows.still(gone)
            self._places.remove(folder)
        self._rows.remove(gone)

    def _left_traces(self, place: str) -> list[str]:
        """Folders of traces without a row."""
        # A trace has its row before its folder, so the folders are asked for first.
        try:
            names = [name for name in self._places.folders(f"{place}/traces") if _TRACE.fullmatch(name)]
        except FileNotFoundError:
            return []
        known = self._rows.known_traces(names)
        return [f"{place}/traces/{name}" for name in names if name not in known]

    def _remove_left_traces(self, experiment: str) -> None:
        place = self._rows.living().get(experiment)
        for folder in self._left_traces(place) if place else ():
            self._places.remove(folder)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
