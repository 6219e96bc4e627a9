"""Who did something is who is logged in, whatever the request says. Administrators may say otherwise, for imports."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends.callers import caller

# Fields of requests that name who asks. `CreateRun.user_id` is none: clients put the account of their machine there.
FIELDS = ("created_by", "updated_by", "completed_by")


def sign(message: Any) -> None:
    """Puts the caller's name where a request names somebody as the one who asks."""
    asking = caller()
    if asking is None or asking.administrator:
        return
    for field in FIELDS:
        if field in message.DESCRIPTOR.fields_by_name and getattr(message, field):
            setattr(message, field, asking.name)


def sign_assessments(assessments: Any) -> None:
    """A person's assessment is the caller's; those of programs name the program."""
    asking = caller()
    if asking is None or asking.administrator:
        return
    for assessment in assessments:
        if assessment.source is not None and assessment.source.source_type == "HUMAN":
            assessment.source.source_id = asking.name


def _create(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def create_assessment(self: Any, assessment: Any) -> Any:
        sign_assessments([assessment])
        return original(self, assessment)

    return create_assessment


def install() -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    upstream.replace(SqlAlchemyStore, "create_assessment", "baf059ee65073f15", _create)
