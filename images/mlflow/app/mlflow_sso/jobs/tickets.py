"""What a job shows the AI gateway, in the place of a password: which job it is.

A ticket says nothing of a user. The server looks the job up, and serves it as whoever started it while it runs.
"""

import hashlib
import hmac

_KIND = "mlflow-job"


def ticket(key: str, job: str) -> str:
    """The ticket of a job, by its id."""
    return f"{_KIND}.{job}.{_seal(key, job)}"


def is_ticket(text: str) -> bool:
    """Whether a text means to be a ticket. Personal tokens of the plugin have no such beginning."""
    return text.startswith(f"{_KIND}.")


def job_of(key: str, text: str) -> str | None:
    """The job that a ticket was made for; None for any other text, and for every text where there is no key."""
    kind, _, rest = text.partition(".")
    job, _, seal = rest.rpartition(".")
    if not key or kind != _KIND or not job:
        return None
    return job if hmac.compare_digest(seal.encode(), _seal(key, job).encode()) else None


def _seal(key: str, job: str) -> str:
    return hmac.new(key.encode(), f"{_KIND}.{job}".encode(), hashlib.sha256).hexdigest()
