"""One database for all books: each book is a transaction that is taken back."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from support.database import fresh_database


@pytest.fixture(scope="session")
def books_dsn(server_dsn: str, template: str) -> Iterator[str]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(fresh_database(server_dsn, template)))
        runner.run(stack.aclose())
