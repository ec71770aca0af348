"""A part of these tests, unchanged, on a real validator where one is at hand; all by ``make test-agave``."""

from collections.abc import Iterator

import pytest

from client.test_client_on_localnet import (
    test_a_created_mint_is_the_live_one_but_for_its_keys,
    test_a_delegate_spends_until_revoked_and_an_empty_account_closes,
    test_the_primary_market_moves_exactly_what_it_says,
)
from client.test_exactly_once import (
    test_a_request_is_done_once_however_often_it_is_asked_for,
    test_the_guard_has_the_chain_refuse_a_second_desk,
)
from client.test_program_errors import test_what_other_programs_refuse_is_named_too
from support.chains import running_chain

pytestmark = pytest.mark.agave

__all__ = [
    "test_a_created_mint_is_the_live_one_but_for_its_keys",
    "test_a_delegate_spends_until_revoked_and_an_empty_account_closes",
    "test_a_request_is_done_once_however_often_it_is_asked_for",
    "test_the_guard_has_the_chain_refuse_a_second_desk",
    "test_the_primary_market_moves_exactly_what_it_says",
    "test_what_other_programs_refuse_is_named_too",
]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real validator."""
    with running_chain("agave", tmp_path_factory.mktemp("agave")) as url:
        yield url
