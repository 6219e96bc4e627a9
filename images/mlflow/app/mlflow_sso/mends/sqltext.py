"""Finds what a database says in the text of an error, without MLflow or SQLAlchemy.

Source: `sqlalchemy.exc.StatementError` writes `(module.Class) text`, `[SQL: ...]`, `[parameters: ...]` and a link;
PostgreSQL's libpq writes `DETAIL:  Key (name)=(value) already exists.` on a line of its own.
"""

import re

_SAID = re.compile(
    r"\s*(?:Error:\s*)?(?:\((?:psycopg2|psycopg|sqlite3|pymysql|MySQLdb|asyncpg|builtins)\.[\w.]+\)"
    r"|\[SQL: |\[parameters: |\(Background on this error at: https?://sqlalche\.me)"
)
_DETAIL = re.compile(r"\n\s*(?:DETAIL|CONTEXT|HINT|QUERY):.*", re.DOTALL)
# What drivers say of a text with a NUL, which no text of PostgreSQL's and no name of a file can hold.
_NUL = re.compile(r"NUL \(0x00\) char|embedded null (byte|character)")


def before(text: str) -> str | None:
    """What a message says before it repeats the database; None where it does not."""
    said = _SAID.search(text)
    return text[: said.start()].strip() if said else None


def without_detail(text: str) -> str:
    """A driver's message without the values that it names."""
    return _DETAIL.sub("", text)


def one_line(text: str) -> str:
    """A text for a log: nobody writes lines of their own into it."""
    return "".join(each if each.isprintable() else " " for each in text)


def is_nul(text: str) -> bool:
    return _NUL.search(text) is not None
