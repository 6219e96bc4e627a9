"""Who did something is who is logged in, whatever the request says. Administrators may say otherwise, for imports.

An assessment is tied to no other trace, and to no issue that its writer may not read. MLflow makes what an assessment
overrides valid again by its id alone, and counts the traces of an issue by whatever names it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow_sso import upstream
from mlflow_sso.mends.callers import caller, may, plain
from mlflow_sso.mends.refusals import denied, invalid

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


def _hold_ids(store: Any, trace: str, assessments: Any) -> None:
    from mlflow.store.tracking.dbmodels.models import SqlAssessments

    named = {each for one in assessments for each in (one.assessment_id, one.overrides) if each}
    if not named:
        return
    with store.ManagedSessionMaker() as session:
        elsewhere = session.query(SqlAssessments.trace_id).filter(
            SqlAssessments.assessment_id.in_(named), SqlAssessments.trace_id != trace
        )
        if elsewhere.first() is not None:
            raise invalid("An assessment names one of another trace.")


def _hold_issues(store: Any, assessments: Any) -> None:
    from mlflow.exceptions import MlflowException

    for issue in {one.name for one in assessments if one.issue is not None} if plain() else ():
        try:
            found = may("can_read", str(store.get_issue(issue).experiment_id))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            found = False
        if not found:
            raise denied("Permission denied for an issue that an assessment names.")


def hold_assessments(store: Any, trace: str, assessments: Any) -> None:
    """Signs assessments that a trace gets. Raises MlflowException for one that names what it may not."""
    sign_assessments(assessments)
    _hold_ids(store, trace, assessments)
    _hold_issues(store, assessments)


def _create(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def create_assessment(self: Any, assessment: Any) -> Any:
        hold_assessments(self, assessment.trace_id, [assessment])
        return original(self, assessment)

    return create_assessment


def install() -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    upstream.replace(SqlAlchemyStore, "create_assessment", "baf059ee65073f15", _create)
    upstream.reads(SqlAlchemyStore, "delete_assessment", "8f456f8be11b61f6")
    upstream.reads(SqlAlchemyStore, "search_issues", "8bcd7a18d6cb4933")
