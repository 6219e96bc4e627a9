"""All tables, by what they are about."""

from __future__ import annotations

from collections import Counter

from tests.matrix import accounts, gateway, grants, pages, registry, traces, tracking
from tests.matrix.rows import Row

TABLES: dict[str, tuple[Row, ...]] = {
    **tracking.TABLES,
    **traces.TABLES,
    **registry.TABLES,
    **gateway.TABLES,
    **grants.TABLES,
    **accounts.TABLES,
    **pages.TABLES,
}
ROWS = tuple(row for rows in TABLES.values() for row in rows)
CLASSIFIED = Counter(route for row in ROWS for route in row.routes)
