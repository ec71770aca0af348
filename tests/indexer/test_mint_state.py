"""The state that decides how a mint's instructions are read, folded from its controls."""

from hypothesis import given
from hypothesis import strategies as st

from tieout_indexer.continuity import Continuity, Left
from tieout_indexer.mint_state import TransferFee, epoch_function, fold
from tieout_indexer.model import Touch, TransactionResult

INITIAL = ("transfer_fee", {"initial": True, "basis_points": 50, "maximum_fee": "1000"})


def test_a_new_fee_starts_two_epochs_on_and_the_one_in_force_stays_until_then() -> None:
    state = fold(
        [(5, *INITIAL), (5, "mint_open", {}), (10, "transfer_fee", {"basis_points": 100, "maximum_fee": "9"})],
        lambda slot: slot,
    )
    assert [state.fee(100, epoch) for epoch in (10, 11, 12)] == [1, 1, 1]
    assert [state.fee(10_000, epoch) for epoch in (10, 11, 12)] == [50, 50, 9]


def test_a_fee_replaced_before_it_started_never_counts() -> None:
    state = fold(
        [
            (5, *INITIAL),
            (10, "transfer_fee", {"basis_points": 1000, "maximum_fee": "10000"}),
            (11, "transfer_fee", {"basis_points": 0, "maximum_fee": "0"}),
        ],
        lambda slot: slot,
    )
    assert [state.fee(1_000, epoch) for epoch in (12, 13)] == [5, 0]


@given(st.integers(0, 2**64 - 1), st.integers(0, 10_000), st.integers(0, 2**64 - 1))
def test_a_fee_is_rounded_up_capped_and_never_more_than_the_amount(
    amount: int, basis_points: int, maximum: int
) -> None:
    fee = TransferFee(0, maximum, basis_points).on(amount)
    assert fee <= min(amount, maximum)
    assert fee == min(maximum, -((-amount * basis_points) // 10_000)) or amount == 0 or basis_points == 0


def test_the_permanent_delegate_follows_its_authority() -> None:
    rows = [
        (1, "permanent_delegate", {"delegate": "A"}),
        (1, "mint_open", {}),
        (2, "authority", {"type": "permanent_delegate", "new": "B"}),
        (3, "authority", {"type": "mint_tokens", "new": "C"}),
    ]
    assert fold(rows, lambda slot: 0).permanent_delegate == "B"


def test_epochs_follow_the_schedule_of_the_chain() -> None:
    plain = epoch_function({"slotsPerEpoch": 432_000, "firstNormalEpoch": 0, "firstNormalSlot": 0})
    assert [plain(s) for s in (0, 431_999, 432_000)] == [0, 0, 1]
    warm = epoch_function({"slotsPerEpoch": 8192, "firstNormalEpoch": 8, "firstNormalSlot": 8160})
    assert [warm(s) for s in (0, 31, 32, 95, 96, 8159, 8160, 16352)] == [0, 0, 1, 1, 2, 7, 8, 9]


def touch(
    pre: int | None, post: int | None, pre_owner: str | None = "o", post_owner: str | None = "o"
) -> TransactionResult:
    return TransactionResult(0, "sig", touches=[Touch("M", "A", 8, pre, post, pre_owner, post_owner)])


def test_an_account_begins_where_the_last_transaction_left_it() -> None:
    continuity = Continuity({("M", "A"): Left(5, "o")}, {"M"})
    assert continuity.check(touch(5, 7)) == []
    assert continuity.check(touch(7, None)) == []
    assert continuity.check(touch(None, 3)) == []
    assert "left A with amount 3, this one found 4" in continuity.check(touch(4, 4))[0].reason


def test_an_account_of_a_completely_known_mint_begins_with_nothing() -> None:
    assert Continuity({}, {"M"}).check(touch(1, 1))[0].mint == "M"
    assert Continuity({}, set()).check(touch(1, 1)) == []


def test_an_owner_changes_only_where_the_ledger_saw_it_and_an_absent_owner_says_nothing() -> None:
    continuity = Continuity({("M", "A"): Left(1, "o")}, set())
    assert continuity.check(touch(1, 1, None, None)) == []
    continuity = Continuity({("M", "A"): Left(1, "o")}, set())
    assert "owner" in continuity.check(touch(1, 1, "thief", "thief"))[0].reason
