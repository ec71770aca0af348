"""A writer of rows into a fresh database."""

from collections.abc import AsyncIterator

import pytest

from database.rows import Rows


@pytest.fixture
async def rows(dsn: str) -> AsyncIterator[Rows]:
    made = await Rows.open(dsn)
    yield made
    await made.db.close()
