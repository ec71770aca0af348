"""What MT535 and semt.002 say of parts of a holding and of their own extent, by the standards' definitions."""

import contextlib
import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from reconcile.builders import ISIN, OTHER_ISIN, REGISTRY
from tieout_reconcile import BadInput
from tieout_reconcile.files import InputFile
from tieout_reconcile.formats import parse_statement
from tieout_reconcile.formats.declared import StatementMap, parse_map
from tieout_reconcile.formats.ruled import form_of, rule_of, stored_form
from tieout_reconcile.registry_file import parse_registry
from tieout_reconcile.statements import Position

TEXT = REGISTRY + '[[custodians.accounts]]\nid = "SUB-9"\n'
REGISTERED = parse_registry(InputFile("r", TEXT.encode()))
GIVEN = StatementMap({"time_zone": "UTC", "cut_off": "21:00"})


def read(text: str, rule: int | None = None, given: StatementMap = GIVEN) -> list[Position]:
    file = InputFile("f", text.encode())
    file = file if rule is None else replace(file, rule=rule)
    return parse_statement(file, REGISTERED, given, given.declared(None, None, None))[1]


def held(text: str, rule: int | None = None) -> dict[str, str]:
    (position,) = read(text, rule)
    assert position.quantity == 100
    return {kind: str(size) for kind, size in position.encumbered}


def refused(text: str) -> str:
    with pytest.raises(BadInput) as bad:
        read(text)
    return "\n".join(bad.value.problems)


def mt535(body: str, page: str = "1/ONLY", **more: str) -> str:
    said = {"account": "ITN-1", "day": "20261102", "basis": "SETT", "number": "001"} | more
    return (
        "{1:F01BANKCHZZAXXX0000000000}{2:O5351200261102BANKCHZZAXXX00000000002611021200N}{4:\n"
        f":16R:GENL\n:28E:{page}\n:13A::STAT//{said['number']}\n:20C::SEME//X{page[0]}\n:23G:NEWM\n"
        f":98A::STAT//{said['day']}\n:22F::CODE//COMP\n:22F::STBA//{said['basis']}\n:97A::SAFE//{said['account']}\n"
        f":17B::ACTI//Y\n:16S:GENL\n{body}-}}\n"
    )


def fin(*subs: str, isin: str = ISIN, own: str = ":93B::AGGR//UNIT/100,\n") -> str:
    parts = "".join(f":16R:SUBBAL\n{sub}\n:16S:SUBBAL\n" for sub in subs)
    return f":16R:FIN\n:35B:ISIN {isin}\nAPPLE INC\n{own}{parts}:16S:FIN\n"


def subsafe(account: str, active: str, body: str = "") -> str:
    return f":16R:SUBSAFE\n:97A::SAFE//{account}\n:17B::ACTI//{active}\n{body}:16S:SUBSAFE\n"


def units(number: object) -> str:
    return f"<Qty><Qty><Qty><Unit>{number}</Unit></Qty></Qty></Qty>"


def part(code: str, number: int, more: str = "", name: str = "BalBrkdwn") -> str:
    return f"<{name}><SubBalTp><Cd>{code}</Cd></SubBalTp>{units(number)}{more}</{name}>"


def report(balances: str, page: int = 1, last: bool = True, **more: str) -> str:
    said = {"account": "ITN-1", "at": "2026-11-02T21:00:00Z", "update": "<Cd>COMP</Cd>", "active": "true"} | more
    return (
        f"<SctiesBalCtdyRpt><Pgntn><PgNb>{page}</PgNb><LastPgInd>{str(last).lower()}</LastPgInd></Pgntn><StmtGnlDtls>"
        f"<StmtDtTm><DtTm>{said['at']}</DtTm></StmtDtTm><UpdTp>{said['update']}</UpdTp><StmtBsis><Cd>SETT</Cd></StmtBsis>"
        f"<ActvtyInd>{said['active']}</ActvtyInd></StmtGnlDtls><SfkpgAcct><Id>{said['account']}</Id></SfkpgAcct>{balances}"
        "</SctiesBalCtdyRpt>"
    )


def balance(more: str = "", sign: str = "", isin: str = ISIN, name: str = "BalForAcct") -> str:
    return f"<{name}><FinInstrmId><ISIN>{isin}</ISIN></FinInstrmId><AggtBal>{sign}{units(100)}</AggtBal>{more}</{name}>"


def semt002(*reports: str) -> str:
    return f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:semt.002.001.11">{"".join(reports)}</Document>'


CODES = {
    None: (
        "AWAS", "COLA", "NOMI", "REGO", "UNRG", "SPOS", "TRAN", "CLEN", "DIRT", "DRAW", "QUAS", "ISSU", "PEND", "PENR",
        "PDMT", "PRMT", "PDUM", "PRUM", "PECA", "PEDA", "BODE", "BORE", "LODE", "LORE",
    ),
    "lent": ("LOAN",),
    "pledged": ("PLED", "COLO", "MARG"),
    "blocked": ("BLOK", "BLCA", "BLOT", "BLOV", "RSTR"),
    "borrowed": ("BORR", "COLI"),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "code"), [(kind, code) for kind, codes in CODES.items() for code in codes])
def test_each_sub_balance_of_the_standard_encumbers_by_its_definition_or_by_being_called_not_available(
    kind: str | None, code: str
) -> None:
    wanted = {kind: "40"} if kind else {}
    assert held(mt535(fin(f":93B::{code}//UNIT/40,"))) == wanted
    assert held(semt002(report(balance(part(code, 40))))) == wanted
    never = {kind or "not_available": "40"}
    assert held(mt535(fin(f":93C::{code}//UNIT/NAVL/40,"))) == never
    called = "<AvlbtyInd>false</AvlbtyInd>"
    assert held(semt002(report(balance(part(code, 40, called))))) == never
    assert held(mt535(fin(f":93C::{code}//UNIT/AVAI/40,"))) == wanted


def test_an_unclassified_sub_balance_is_what_the_custodian_calls_it_and_refused_where_it_does_not() -> None:
    assert held(mt535(fin(":93C::OTHR//UNIT/NAVL/40,", ":93C::OTHR//UNIT/AVAI/60,"))) == {"not_available": "40"}
    assert "it is not known whether it encumbers" in refused(mt535(fin(":93B::OTHR//UNIT/40,")))
    assert "it is not known whether it encumbers" in refused(semt002(report(balance(part("OTHR", 40)))))
    for option in "EF":
        digital = f":93{option}::PLED//DITU/{'NAVL/' if option == 'E' else ''}40,"
        assert "counts digital tokens, not shares" in refused(mt535(fin(digital)))


def test_the_same_shares_called_not_available_in_whole_and_in_part_count_once() -> None:
    own = ":93B::AGGR//UNIT/100,\n:93B::NAVL//UNIT/50,\n"
    assert held(mt535(fin(":93C::PEND//UNIT/NAVL/40,", own=own))) == {"not_available": "50"}
    assert held(mt535(fin(":93B::PLED//UNIT/30,", own=own))) == {"not_available": "20", "pledged": "30"}


def test_places_of_safekeeping_add_up_to_the_holding() -> None:
    two = fin(":93B::AGGR//UNIT/60,\n:94F::SAFE//CUST/UBSWCHZH", ":93B::AGGR//UNIT/40,\n:93B::AVAI//UNIT/10,")
    assert held(mt535(two)) == {"not_available": "90"}
    assert "add up to 90, its aggregate is 100" in refused(mt535(two.replace("UNIT/60,", "UNIT/50,")))
    place = f"<BalAtSfkpgPlc><AggtBal>{units(50)}</AggtBal>{part('PLED', 20)}</BalAtSfkpgPlc>"
    assert held(semt002(report(balance(place + place)))) == {"pledged": "40"}
    assert held(semt002(report(balance(part("PLED", 45) + place + place)))) == {"pledged": "45"}
    assert "add up to 50, AggtBal is 100" in refused(semt002(report(balance(place))))


def test_what_lies_inside_a_breakdown_counts_where_that_one_encumbers_nothing() -> None:
    inner = "<AddtlBalBrkdwnDtls><SubBalTp><Cd>PLED</Cd></SubBalTp><Qty><Unit>30</Unit></Qty></AddtlBalBrkdwnDtls>"
    assert held(semt002(report(balance(part("PEND", 40, inner))))) == {"pledged": "30"}
    assert held(semt002(report(balance(part("BLOK", 40, inner))))) == {"blocked": "40"}
    assert held(semt002(report(balance(part("PLED", 30, name="AddtlBalBrkdwn"))))) == {"pledged": "30"}


def test_long_and_short_are_read_with_blanks_and_nothing_else_is() -> None:
    def sign(word: str) -> str:
        return semt002(report(balance(sign=f"<ShrtLngInd>{word}</ShrtLngInd>")))

    assert [read(sign(word))[0].quantity for word in ("SHOR", "\n SHOR\t", "LONG ")] == [-100, -100, 100]
    assert 'is "Short", which is neither LONG nor SHOR' in refused(sign("Short"))


def test_a_report_that_is_not_called_complete_is_refused() -> None:
    own = "<Prtry><Id>CHANGES</Id><Issr>X</Issr></Prtry>"
    assert "not COMP: whether it is complete is unknown" in refused(semt002(report(balance(), update=own)))
    assert "which is neither true nor false" in refused(semt002(report(balance(), active="yes")))


def test_an_empty_sub_account_is_a_zero_where_the_registry_knows_it() -> None:
    whole = fin()
    for text in (
        mt535(whole + subsafe("SUB-9", "N") + subsafe("SUB-7", "N")),
        semt002(report(balance() + "<SubAcctDtls><SfkpgAcct><Id>SUB-9</Id></SfkpgAcct><ActvtyInd>false</ActvtyInd>"
                       "</SubAcctDtls>")),
    ):  # fmt: skip
        assert [(p.account, p.quantity) for p in read(text)] == [("ITN-1", Fraction(100)), ("SUB-9", Fraction(0))]
    assert "of the SUBSAFE says that nothing is held, but" in refused(mt535(subsafe("SUB-9", "N", whole)))
    nested = subsafe("SUB-9", "Y", subsafe("ITN-1", "Y", whole))
    assert "a SUBSAFE holds a SUBSAFE" in refused(mt535(nested + fin(isin=OTHER_ISIN)))
    both = mt535(subsafe("SUB-9", "Y", whole) + subsafe("SUB-9", "N"))
    assert 'says that account "SUB-9" is empty, but' in refused(both)


@pytest.mark.parametrize(
    ("change", "name"),
    [({"account": "SUB-9"}, "account"), ({"day": "20261103"}, "statement date"), ({"basis": "TRAD"}, "basis"),
     ({"number": "002"}, "number")],
)  # fmt: skip
def test_pages_of_two_statements_are_refused(change: dict[str, str], name: str) -> None:
    other = fin(isin=OTHER_ISIN)
    assert len(read(mt535(fin(), "1/MORE") + mt535(other, "2/LAST"))) == 2
    said = refused(mt535(fin(), "1/MORE") + mt535(other, "2/LAST", **change))
    assert f"its {name} is" in said
    assert "it is a page of another statement" in said


def test_a_semt002_of_several_pages_is_one_statement() -> None:
    first, second = report(balance(), 1, last=False), report(balance(isin=OTHER_ISIN), 2)
    assert [p.isin for p in read(semt002(first, second))] == [ISIN, OTHER_ISIN]
    for wrong in ((first,), (second,), (second, first), (first, first, second), (first, second, second)):
        assert "all pages of one statement belong in one file" in refused(semt002(*wrong))
    other = report(balance(isin=OTHER_ISIN), 2, at="2026-11-03T21:00:00Z")
    assert "it is a page of another statement" in refused(semt002(first, other))


def test_a_stored_file_is_read_again_by_the_rule_under_which_it_was_taken() -> None:
    assert (form_of("mt535/2"), rule_of("mt535/2"), rule_of("mt535"), rule_of(None)) == ("mt535", 2, 1, 1)
    assert rule_of(stored_form("mt535")) == 3
    cases: list[tuple[str, dict[str, str]]] = [
        (mt535(fin(":93C::PEND//UNIT/NAVL/40,")), {}),
        (mt535(fin(":93B::MARG//UNIT/40,")), {}),
        (mt535(fin(":93E::PLED//DITU/NAVL/40,")), {}),
        (mt535(fin() + subsafe("SUB-9", "N", fin())), {}),
        (mt535(fin() + subsafe("SUB-9", "N")), {}),
        (semt002(report(balance(part("MARG", 40)))), {}),
        (semt002(report(balance("<BalAtSfkpgPlc>" + part("PLED", 40) + "</BalAtSfkpgPlc>"))), {}),
        (semt002(report(balance(sign="<ShrtLngInd> SHOR </ShrtLngInd>"))), {}),
        (semt002(report(balance(), update="<Prtry/>")), {}),
    ]
    for text, wanted in cases:
        assert held(text, rule=1) == wanted


def test_what_a_column_calls_not_available_is_kept_beside_what_is_not_called_available() -> None:
    given = parse_map(InputFile("m", b"""account = "ITN-1"\nbasis = "settled"\ntime_zone = "UTC"\n
[columns]\nisin = "I"\nquantity = "Q"\nas_of = "D"\navailable = "A"\nnot_available = "N"\n"""))  # fmt: skip
    text = f"I,Q,A,N,D\n{ISIN},100,70,10,2026-11-02T21:00:00Z\n"
    assert read(text, given=given)[0].encumbered == (("not_available", Fraction(30)),)
    assert read(text, rule=1, given=given)[0].encumbered == (("not_available", Fraction(20)),)


BASES: list[str] = [
    mt535(fin(":93C::PEND//UNIT/NAVL/40,", ":93B::AGGR//UNIT/100,") + subsafe("SUB-9", "N"), "1/MORE")
    + mt535("", "2/LAST"),
    semt002(report(balance(part("PEND", 4, part("PLED", 3, name="AddtlBalBrkdwnDtls"))), 1, last=False),
            report(balance("<BalAtSfkpgPlc/>", isin=OTHER_ISIN), 2)),
]  # fmt: skip


@pytest.mark.parametrize("base", BASES, ids=["mt535", "semt002"])
def test_a_mutated_statement_is_read_or_refused_and_nothing_else(base: str) -> None:
    dice, lines = random.Random(7), base.replace("><", ">\n<").splitlines()
    for _ in range(600):
        mutated: list[Any] = list(lines)
        for _ in range(dice.randint(1, 3)):
            n = dice.randrange(len(mutated))
            match dice.randrange(4):
                case 0:
                    del mutated[n]
                case 1:
                    mutated.insert(n, dice.choice(lines))
                case 2:
                    cut = dice.randrange(len(mutated[n]) + 1)
                    mutated[n] = (
                        mutated[n][:cut] + dice.choice(["", "N", "/", "٣", ",", "9" * 30]) + mutated[n][cut + 1 :]
                    )
                case _:
                    mutated[n] = dice.choice(lines)
            mutated = mutated or list(lines)
        for rule in (1, 2):
            with contextlib.suppress(BadInput):
                read("\n".join(mutated), rule)
