"""Where artifacts may lie: which addresses the server gives out by itself, and which an operator allows beside them.

Pure text, without MLflow. An address is compared by whole segments of its path, and one that could be read in two ways
(dot segments, percent signs, backslashes, control characters) is in no place at all.
"""

import os
import re
from collections.abc import Iterable

ALLOWED = "MLFLOW_SSO_ARTIFACT_LOCATIONS"
_TRACE = re.compile(r"[A-Za-z0-9_-]{1,50}")
_UNCLEAR = re.compile(r"[\x00-\x20\x7f\\%?#]")


def is_trace_id(text: object) -> bool:
    """Whether a trace id can be the name of a folder and nothing else. Source: `SqlTraceInfo.request_id` has 50."""
    return isinstance(text, str) and _TRACE.fullmatch(text) is not None


def is_clear(address: str) -> bool:
    """Whether an address has one meaning only."""
    return not _UNCLEAR.search(address) and not {".", ".."} & set(address.split("/"))


def is_below(address: str, places: Iterable[str]) -> bool:
    """Whether an address is one of the places, or below one."""
    if not is_clear(address):
        return False
    return any(f"{address}/".startswith(place.rstrip("/") + "/") for place in places)


def allowed() -> list[str]:
    """The places that the operator allows beside the server's own: MLFLOW_SSO_ARTIFACT_LOCATIONS, with commas."""
    places = (place.strip() for place in os.environ.get(ALLOWED, "").split(","))
    return [place for place in places if place.strip("/")]


def trace_place(experiment: str, trace: str) -> str:
    """Where MLflow keeps the data of a trace of an experiment that lies at `experiment`.

    Source: `SqlAlchemyStore._get_trace_artifact_location_tag`. Raises ValueError for an id that is none.
    """
    if not is_trace_id(trace):
        raise ValueError("no id of a trace")
    # As MLflow's append_to_uri_path does it: a query stays behind the path, so there is none in a place that is clear.
    return f"{experiment.rstrip('/')}/traces/{trace}/artifacts"


def is_archive_of(address: str, archive: str, trace: str) -> bool:
    """Whether an address is where MLflow archives a trace below `archive`, in whichever experiment it is.

    Source: `SqlAlchemyStore._archive_trace_candidate`.
    """
    if not is_trace_id(trace) or not archive or not is_below(address, [archive]):
        return False
    rest = address[len(archive.rstrip("/")) + 1 :]
    return re.fullmatch(rf"(workspaces/[^/]+/)?[0-9]+/traces/{re.escape(trace)}/artifacts", rest) is not None
