"""The chain's positions and blockhash queue, without any I/O."""

from hypothesis import given
from hypothesis import strategies as st

from tieout_localnet.chain import (
    BLOCKHASH_QUEUE_BLOCKS,
    STATUS_CACHE_BLOCKS,
    Block,
    Blockhash,
    Chain,
    Commitment,
    Signature,
    Slot,
    SlotNode,
)


def node(slot: int, parent: SlotNode | None) -> SlotNode:
    before = parent.block if parent else None
    block = Block(
        Slot(slot),
        before.slot if before else Slot(0),
        before.height + 1 if before else 0,
        Blockhash(f"hash-{slot}"),
        before.blockhash if before else Blockhash("none"),
        1_000 + slot,
    )
    return SlotNode(block, parent, {Signature(f"signature-{slot}"): None})


def grown(blocks: int, confirmed: int = 1, finalized: int = 3) -> Chain:
    chain = Chain([node(0, None)], confirmed, finalized)
    for slot in range(1, blocks):
        chain.release(chain.extend(node(slot, chain.tip)))
    return chain


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 40))
def test_positions_are_ordered_and_as_deep_as_asked(blocks: int, confirmed: int, finalized: int) -> None:
    chain = grown(blocks, confirmed, finalized)
    tip = blocks - 1
    assert chain.position(Commitment.PROCESSED) == tip + 1
    assert chain.position(Commitment.FINALIZED) == max(tip - finalized, 0)
    assert chain.position(Commitment.CONFIRMED) == max(tip - confirmed + 1, tip - finalized, 0)


def test_every_block_becomes_final_once_in_order() -> None:
    chain = Chain([node(0, None)], 1, 2)
    final: list[int] = []
    for slot in range(1, 20):
        newly = chain.extend(node(slot, chain.tip))
        final += [n.block.slot for n in newly]
        chain.release(newly)
    assert final == list(range(1, 18))


def test_the_root_of_a_restart_is_where_it_starts() -> None:
    nodes = [node(0, None)]
    for slot in range(1, 10):
        nodes.append(node(slot, nodes[-1]))
    chain = Chain(nodes, 1, 31)
    assert chain.position(Commitment.FINALIZED) == 9
    assert chain.position(Commitment.CONFIRMED) == 9


def test_a_blockhash_is_accepted_for_150_blocks_and_not_before_it_exists() -> None:
    chain = grown(BLOCKHASH_QUEUE_BLOCKS + 10)
    tip = chain.tip.block.slot
    assert chain.accepts_blockhash(f"hash-{tip}", chain.open_slot)
    assert not chain.accepts_blockhash(f"hash-{tip}", Slot(tip - 1))
    assert chain.accepts_blockhash(f"hash-{tip - BLOCKHASH_QUEUE_BLOCKS}", chain.open_slot)
    assert not chain.accepts_blockhash(f"hash-{tip - BLOCKHASH_QUEUE_BLOCKS - 1}", chain.open_slot)
    assert not chain.accepts_blockhash("unknown", chain.open_slot)


def test_memory_holds_a_bounded_number_of_blocks() -> None:
    chain = grown(STATUS_CACHE_BLOCKS * 2)
    assert len(chain.recent_blocks(10_000)) == STATUS_CACHE_BLOCKS
    assert chain.landed(Signature("signature-5")) is None
    assert chain.node(Slot(5)) is None
    assert chain.landed(Signature(f"signature-{STATUS_CACHE_BLOCKS * 2 - 1}")) is not None
