"""The answers of the API, field by field. Quantities are text: exact decimals, never JSON numbers."""

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["ties_out", "ties_out_in_settlement", "incomplete", "does_not_tie_out", "unknown"]
Text = str | None


class Model(BaseModel):
    """Every answer: no field beyond the described ones."""

    model_config = ConfigDict(extra="forbid")


class AsOf(Model):
    """The moment that the figures speak of."""

    run: int = Field(description="Number of the stored reconciliation run.")
    slot: int = Field(description="The finalized slot of the cut-off.")
    time: datetime | None = Field(description="That slot's block time (UTC); null when unknown.")
    blockhash: Text = Field(description="That block's hash, base58.")
    digest: str = Field(description="SHA-256 of the run's canonical JSON, hexadecimal.")


class Figure(Model):
    """A quantity. Once its inputs are too old, ``value`` is null and ``last_value`` says what it was."""

    value: Text = Field(description="The quantity now, an exact decimal; null is unknown, never zero.")
    last_value: Text = Field(description="The quantity as of the cut-off, whatever its age.")
    unit: Literal["raw", "shares", "ratio"] = Field(description="raw token units, shares, or a plain ratio.")


class Custody(Model):
    """What one custodian reported for the accounts that are the instrument's collateral."""

    custodian: str = Field(description="The custodian's id in the registry.")
    basis: Literal["settled", "not counted"] = Field(
        description="Settled positions that a custodian or broker states count as coverage, and no others."
    )
    evidence: str = Field(description="Whose word the figure is: custodian, broker, affiliate or management.")
    shares: Figure = Field(description="Shares that count: the aggregate less what is lent, pledged or blocked.")
    as_of: datetime | None = Field(description="The instant of the oldest statement used; null when there is none.")


class Reserve(Model):
    """One instrument: what is owed, what is held, and whether the two tie out."""

    symbol: str = Field(description="The token's symbol.")
    mint: str = Field(description="The token's mint address on Solana, base58.")
    isin: str = Field(description="The ISIN of the share that backs it.")
    decimals: int = Field(description="Decimals of the token: raw units per token are 10^decimals.")
    verdict: Verdict = Field(description="The verdict now; unknown once the inputs are too old.")
    last_verdict: Verdict = Field(description="The verdict of the run, whatever its age.")
    fresh: bool = Field(description="Whether every input is young enough to count.")
    oldest_input: str = Field(description="Which input is the oldest one.")
    oldest_input_at: datetime | None = Field(description="Its instant: the age of all figures counts from here.")
    stale_at: datetime | None = Field(description="From then on the figures are unknown, unless newer inputs come.")
    ripcord: bool = Field(description="True: do not rely on these figures; the reasons follow.")
    ripcord_details: list[str] = Field(description="Why, in sentences; empty when the ripcord is not pulled.")
    as_of: AsOf = Field(description="The cut-off.")
    multiplier: Figure = Field(description="The multiplier in force at the cut-off, exact.")
    supply: Figure = Field(description="All tokens of the mint, raw.")
    issuer_held: Figure = Field(description="Of these, in the issuer's treasury, inventory and redemption wallets.")
    outside: Figure = Field(description="Tokens outside the issuer's wallets.")
    still_owed: Figure = Field(description="Tokens returned or taken by force, and still owed.")
    liability: Figure = Field(description="(outside + still owed) × multiplier ÷ 10^decimals, in shares.")
    custody: list[Custody] = Field(description="Settled shares by custodian.")
    custody_total: Figure = Field(description="Their sum.")
    unsettled: Figure = Field(description="Net shares in unsettled trades; never counted as settled.")
    difference: Figure = Field(description="Settled custody less liability, in shares.")
    coverage: Figure = Field(description="Settled custody ÷ liability, rounded down at six decimals.")
    tolerance: str = Field(description="How far the two may differ and still tie out, derived.")
    breaks: int = Field(description="Open breaks of this instrument in the run.")


class Reserves(Model):
    """All instruments."""

    verdict: Verdict = Field(description="The worst of the instruments' verdicts.")
    items: list[Reserve] = Field(description="The instruments, by symbol.")
    next_cursor: Text = Field(description="Give it as cursor for the next page; null on the last.")


class Point(Model):
    """One run in an instrument's history."""

    run: int = Field(description="Number of the run.")
    slot: int = Field(description="Its cut-off slot.")
    time: datetime | None = Field(description="Its cut-off time.")
    verdict: Verdict = Field(description="Its verdict.")
    liability: Text = Field(description="Shares owed; null is unknown.")
    custody: Text = Field(description="Settled shares; null is unknown.")


class History(Model):
    """An instrument over time, the newest run first."""

    symbol: str = Field(description="The token's symbol.")
    items: list[Point] = Field(description="Runs that said something new.")
    next_cursor: Text = Field(description="Give it as cursor for the next page; null on the last.")


class SupplyLine(Model):
    """A part of the supply."""

    chain: Literal["solana"] = Field(description="The chain.")
    holder: str = Field(description="A role of the registry, or unlabelled.")
    raw: Figure = Field(description="What its wallets hold, raw.")


class Supply(Model):
    """The supply by chain and holder; the lines always sum to it."""

    symbol: str = Field(description="The token's symbol.")
    as_of: AsOf = Field(description="The cut-off.")
    total: Figure = Field(description="All tokens, raw.")
    items: list[SupplyLine] = Field(description="By role; what the registry does not name is unlabelled.")


class Event(Model):
    """One movement of tokens, final."""

    symbol: str = Field(description="The token's symbol.")
    slot: int = Field(description="Slot of its block.")
    time: datetime | None = Field(description="Block time (UTC).")
    tx_index: int = Field(description="Place of its transaction in the block.")
    step: int = Field(description="Place of its instruction in the transaction.")
    child: int = Field(description="Place in a batch; -1 outside one.")
    signature: str = Field(description="The transaction's signature, base58.")
    kind: str = Field(
        description="mint, burn, transfer, fee_withdrawal, confidential_deposit, confidential_withdrawal."
    )
    source: Text = Field(description="The token account that loses the amount; null for a mint.")
    source_owner: Text = Field(description="Its owner.")
    destination: Text = Field(description="The token account that gains amount less fee; null for a burn.")
    destination_owner: Text = Field(description="Its owner.")
    authority_role: Text = Field(
        description="Whose right moved it: owner, delegate, permanent_delegate, mint_authority."
    )
    amount: str = Field(description="Raw units.")
    fee: str = Field(description="Raw units withheld.")
    memo: Text = Field(description="The transaction's memos. Anybody can write one.")


class Events(Model):
    """Final movements, the newest first."""

    items: list[Event] = Field(description="The movements.")
    next_cursor: Text = Field(description="Give it as cursor for the next page; null on the last.")


class MultiplierStep(Model):
    """One announced multiplier."""

    value: Text = Field(description="Exact decimal of the chain's eight bytes; null when unknown.")
    bits: str | None = Field(description="The chain's eight bytes, hexadecimal; null when nobody can say which apply.")
    effective_at: datetime | None = Field(description="From when it applies; null: never.")
    announced_slot: int = Field(description="The slot that announced it.")
    signature: str = Field(description="The transaction that announced it.")
    state: Literal["past", "current", "pending", "superseded"] = Field(description="Its state now.")


class Multipliers(Model):
    """An instrument's multiplier over time."""

    symbol: str = Field(description="The token's symbol.")
    items: list[MultiplierStep] = Field(description="In order of announcement.")


class BreakCount(Model):
    """How many breaks of a kind there are."""

    symbol: str = Field(description="The token's symbol.")
    code: str = Field(description="The code of the taxonomy, such as B1.")
    name: str = Field(description="Its name, such as UNDER_BACKED.")
    count: int = Field(description="Open breaks.")
    oldest_days: int | None = Field(description="Calendar days since the oldest event; null when unknown.")


class Breaks(Model):
    """Open breaks, counted."""

    as_of: AsOf = Field(description="The cut-off.")
    items: list[BreakCount] = Field(description="By instrument and code.")


class BreakDetail(Model):
    """One open break, for those who work on it."""

    id: str = Field(description="Its short name.")
    code: str = Field(description="The code of the taxonomy.")
    symbol: str = Field(description="The token's symbol.")
    summary: str = Field(description="What it is about.")
    shares: Text = Field(description="Its quantity in shares; null when it has none.")
    unexplained: Text = Field(description="What no accepted line explains, in shares.")
    status: str = Field(description="open, assigned, proposed, explained, expired, reopened.")
    assignee: Text = Field(description="Who works on it.")
    days: int | None = Field(description="Calendar days since its event.")
    signature: Text = Field(description="The transaction that it is about.")
    request_id: Text = Field(description="The order that it is about.")


class BreakDetails(Model):
    """Open breaks, one by one."""

    as_of: AsOf = Field(description="The cut-off.")
    items: list[BreakDetail] = Field(description="The breaks.")


class HeadroomAnswer(Model):
    """How many more shares may be released."""

    symbol: str = Field(description="The token's symbol.")
    as_of: AsOf = Field(description="The cut-off.")
    shares: Figure = Field(description="Settled custody less liability; below zero nothing may be released.")
    reasons: list[str] = Field(description="Why it is unknown; empty when it is known.")


class StatementFile(Model):
    """A file of the business that was taken in, by its digest."""

    load: int = Field(description="Its number, without gaps.")
    kind: str = Field(description="registry, statement, orders, trades.")
    format: Text = Field(description="Its format; null for a registry.")
    sha256: str = Field(description="SHA-256 of its bytes, hexadecimal.")
    recorded_at: datetime = Field(description="When it was taken in.")


class Statements(Model):
    """Files that were taken in, the newest first."""

    items: list[StatementFile] = Field(description="The files.")
    next_cursor: Text = Field(description="Give it as cursor for the next page; null on the last.")


class Signature(Model):
    """A signature over a report."""

    public_key: str = Field(description="Ed25519 public key, base58.")
    signature: str = Field(description="Signature over the report's bytes, base58.")


class PractitionerStatement(Model):
    """What a practitioner outside says of a report, detached from it. The signature is the key's; whose key it is, the
    practitioner has to tell you.
    """

    words: str = Field(description="What was done, with which assurance (or none), and to which end.")
    practitioner: str = Field(description="The practitioner's name, as signed.")
    engagement: str = Field(description="The kind of engagement, of a closed list.")
    conclusion: str = Field(description="unmodified, qualified, adverse, disclaimer; findings of agreed procedures.")
    dated: date = Field(description="Its date.")
    public_key: str = Field(description="The practitioner's Ed25519 public key, base58.")
    signature: str = Field(description="Signature over the statement's canonical JSON, base58.")


class ReportLine(Model):
    """A report that was made."""

    report: int = Field(description="Its number.")
    made_at: datetime = Field(description="When it was made.")
    slot: int = Field(description="Its cut-off slot.")
    time: datetime | None = Field(description="Its cut-off time.")
    verdict: Verdict = Field(description="Its verdict.")
    sha256: str = Field(description="SHA-256 of its canonical JSON.")
    previous: int | None = Field(description="The number of the report before.")
    signatures: list[Signature] = Field(description="Who signed it.")
    practitioners: list[PractitionerStatement] = Field(
        description="Practitioners' statements that are attached and hold; none says that there is none."
    )


class Reports(Model):
    """Reports, the newest first."""

    items: list[ReportLine] = Field(description="The reports.")
    next_cursor: Text = Field(description="Give it as cursor for the next page; null on the last.")


class Health(Model):
    """How the service is."""

    ok: bool = Field(description="Whether all is well.")
    checks: dict[str, str] = Field(description="Each check, and what was seen.")
