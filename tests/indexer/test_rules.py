"""The table of effects covers the whole program, each instruction once."""

from tieout_idl import INSTRUCTIONS
from tieout_indexer import rules
from tieout_indexer.model import PSEUDO_ACCOUNTS


def test_every_instruction_stands_in_exactly_one_place() -> None:
    places = [set(rules.MOVES), set(rules.CONTROLS), set(rules.SILENT), {rules.CONTAINER}]
    assert sum(map(len, places)) == len(set().union(*places))
    assert set().union(*places) == set(INSTRUCTIONS)


def test_rules_name_accounts_and_fields_that_their_instruction_has() -> None:
    for name, move in rules.MOVES.items():
        layout = INSTRUCTIONS[name]
        fields = {f.name for f in layout.fields}
        assert {move.source, move.destination} - PSEUDO_ACCOUNTS <= set(layout.position), name
        assert move.authority in layout.position, name
        assert move.amount is None or move.amount in fields, name
        assert move.fee in {"", "mint"} | fields, name
    for name, rule in rules.CONTROLS.items():
        named = {rule.account, rule.mint, rule.authority} - {None}
        assert named <= set(INSTRUCTIONS[name].position), name
