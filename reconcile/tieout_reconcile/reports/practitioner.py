"""A practitioner's statement on a report: detached, signed by the practitioner's own key, of a closed list of kinds.

A report is management's own. What an outside practitioner says of it comes as a file of its own, canonical JSON
(RFC 8785), and changes no byte of the report. Engagements and what each may conclude: AICPA AT-C sections 205, 210 and
215; IAASB ISAE 3000 (Revised) and ISRS 4400 (Revised). Agreed-upon procedures give no assurance: they state findings,
and neither an opinion nor a conclusion. Pure.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tieout_reconcile.canonical import canonical_bytes, from_plain, to_plain
from tieout_reconcile.errors import BadInput
from tieout_reconcile.files import shown
from tieout_reconcile.reports import bundle, signing

STATEMENT_BYTES_MAX = 64 * 1024
_SCHEMA = "tieout/practitioner-statement/1"
_SIGNED_SCHEMA = "tieout/signed-practitioner-statement/1"
_CHARACTERS_MAX = {"practitioner": 256, "criteria": 2000, "matter": 8000}
_ZONES = timedelta(hours=12)
"""How far behind UTC a day may be told."""


@dataclass(frozen=True, slots=True)
class Engagement:
    """A kind of engagement: what was done, under which standard, with which assurance (None: with none)."""

    did: str
    standard: str
    assurance: str | None
    concludes: str

    @property
    def conclusions(self) -> tuple[str, ...]:
        """What it may conclude: findings alone where it gives no assurance."""
        return ("unmodified", "qualified", "adverse", "disclaimer") if self.assurance else ("findings",)


_PROCEDURES = "performed agreed-upon procedures on"
ENGAGEMENTS: Mapping[str, Engagement] = {
    "examination_at_c_205": Engagement("examined", "AT-C section 205", "reasonable assurance", "Opinion"),
    "reasonable_isae_3000": Engagement(
        "performed a reasonable assurance engagement on", "ISAE 3000 (Revised)", "reasonable assurance", "Opinion"
    ),
    "review_at_c_210": Engagement("reviewed", "AT-C section 210", "limited assurance", "Conclusion"),
    "limited_isae_3000": Engagement(
        "performed a limited assurance engagement on", "ISAE 3000 (Revised)", "limited assurance", "Conclusion"
    ),
    "procedures_at_c_215": Engagement(_PROCEDURES, "AT-C section 215", None, "Findings"),
    "procedures_isrs_4400": Engagement(_PROCEDURES, "ISRS 4400 (Revised)", None, "Findings"),
}
"""The closed list: by the name that a statement's ``engagement`` has."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a practitioner says of one report.

    ``report_sha256`` is the digest of the report's canonical JSON, in hexadecimal. ``criteria``: against what, or which
    procedures were agreed. ``matter``: the findings, or what a conclusion is modified for; None where it is unmodified.
    """

    report_sha256: str
    practitioner: str
    engagement: str
    criteria: str
    conclusion: str
    matter: str | None
    dated: date

    def body(self) -> bytes:
        """Return the bytes that are signed."""
        return canonical_bytes({"schema": _SCHEMA, **to_plain(self)})


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement with the practitioner's public key and the Ed25519 signature over its body, both base58."""

    statement: Statement
    public_key: str
    signature: str

    def to_bytes(self) -> bytes:
        """Return the file: canonical JSON."""
        return canonical_bytes({
            "schema": _SIGNED_SCHEMA, "algorithm": "Ed25519", "public_key": self.public_key,
            "signature": self.signature, "statement": json.loads(self.statement.body()),
        })  # fmt: skip

    @property
    def sha256(self) -> bytes:
        """The digest of the file."""
        return hashlib.sha256(self.to_bytes()).digest()

    def to_json(self) -> dict[str, Any]:
        """Return plain values, the words to show among them."""
        return {**to_plain(self.statement), "public_key": self.public_key, "words": words(self.statement)}


def sign_statement(statement: Statement, key: Ed25519PrivateKey) -> SignedStatement:
    """Return the statement signed. Raises BadInput for one that says what its engagement cannot."""
    if problems := _problems(statement):
        raise BadInput("the practitioner's statement", problems)
    return SignedStatement(statement, signing.public_text(key), signing.sign(key, statement.body()))


def read_statement(name: str, data: bytes) -> SignedStatement:
    """Return the statement of a file. Raises BadInput for what is none, what no engagement can say, a wrong signature.

    Whose key it is stays open: the reader has to know the practitioner's key from elsewhere.
    """
    if len(data) > STATEMENT_BYTES_MAX:
        raise BadInput(name, [f"it is larger than {STATEMENT_BYTES_MAX} bytes"])
    try:
        signed = _signed(json.loads(data))
        if signed.to_bytes() != data:
            raise ValueError("it is not in canonical form (RFC 8785), or holds more than a statement has")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as bad:
        said = f"{bad} is missing" if isinstance(bad, KeyError) else str(bad)
        raise BadInput(name, [f"it is no practitioner's statement (tieout practitioner sign): {said}"]) from None
    if problems := _problems(signed.statement):
        raise BadInput(name, problems)
    if not signing.is_signed_by(signed.public_key, signed.signature, signed.statement.body()):
        raise BadInput(name, ["its signature is not that key's over this statement: it was changed after signing"])
    return signed


def _signed(plain: Any) -> SignedStatement:
    said = plain["statement"]
    if plain["schema"] != _SIGNED_SCHEMA or said["schema"] != _SCHEMA:
        raise ValueError(f"its schema is not {_SIGNED_SCHEMA} over {_SCHEMA}")
    texts = [v for k, v in said.items() if v is not None or k != "matter"] + [plain["public_key"], plain["signature"]]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a value is no text")
    return SignedStatement(from_plain(Statement, said), plain["public_key"], plain["signature"])


def _problems(said: Statement) -> list[str]:
    kind = ENGAGEMENTS.get(said.engagement)
    if kind is None:
        return [f"engagement {shown(said.engagement)} is not one of {', '.join(ENGAGEMENTS)}"]
    problems = []
    if said.conclusion not in kind.conclusions:
        allowed = ", ".join(kind.conclusions)
        problems.append(f"conclusion {shown(said.conclusion)} is not what {said.engagement} may state: {allowed}")
    if (said.conclusion == "unmodified") is not (said.matter is None):
        problems.append("matter belongs to findings and to every conclusion but an unmodified one, and to those alone")
    if len(said.report_sha256) != 64 or set(said.report_sha256) - set("0123456789abcdef"):
        problems.append(f"report_sha256 {shown(said.report_sha256)} is no SHA-256 in lower-case hexadecimal")
    for name, most in _CHARACTERS_MAX.items():
        text = getattr(said, name)
        if text is not None and not (text.strip() == text and 0 < len(text) <= most and _readable(text)):
            problems.append(f"{name} is empty, has over {most} characters, or blanks and controls where none belong")
    return problems


def _readable(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)


def faults(
    signed: SignedStatement, report_sha256: str, as_of: datetime | None, issuers: Mapping[str, str]
) -> list[str]:
    """Return what keeps a statement from being one on this report.

    ``issuers`` are the keys of those who work in the issuer's books, each with the words for whose it is.
    """
    said, found = signed.statement, []
    if said.report_sha256 != report_sha256:
        found.append(f"it is about the report {said.report_sha256}, not about {report_sha256}")
    if (whose := issuers.get(signed.public_key)) is not None:
        found.append(f"its key {signed.public_key} is {whose}: a practitioner is none of the issuer's")
    if as_of is not None and said.dated < (as_of - _ZONES).date():
        found.append(f"it is dated {said.dated}, before the report's cut-off {as_of:%Y-%m-%d}")
    return found


def keys_in(files: Mapping[str, bytes], report: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of the issuer's people that a bundle shows, each with whose it is."""
    found = {line["public_key"]: f"that of {line['actor']}, who worked on its breaks" for line in report["shortfalls"]}
    if (period := report["period"]) is not None:
        for part in ("proposed", "signed"):
            found[period[part]["public_key"]] = f"that of {period[part]['actor']}, who {part} its period"
    if (signature := files.get(bundle.SIGNATURE)) is not None:
        found[json.loads(signature)["public_key"]] = "the one that signed the report"
    return found


def words(said: Statement) -> str:
    """Return what may be shown of a statement that was checked: what was done, with which assurance, to which end."""
    kind = ENGAGEMENTS[said.engagement]
    done = f"{said.practitioner} {kind.did} this report under {kind.standard}"
    if kind.assurance is None:
        given = "Such an engagement gives no assurance: it states findings, and neither an opinion nor a conclusion."
        return f"{done}: {_sentence(said.criteria)} {given} Findings: {said.matter}"
    result = f"{kind.concludes}: {said.conclusion}" + (f", for this: {said.matter}" if said.matter else ".")
    return f"{done}, with {kind.assurance}, against: {_sentence(said.criteria)} {result}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def attachment_faults(rows: Iterable[Any]) -> list[str]:
    """Return what does not hold of stored statements: the practitioner's signature, or that of who attached it."""
    found = []
    for row in rows:
        what = f"practitioner's statement {row['statement']}"
        if not signing.is_signed_by(row["practitioner_key"], row["practitioner_signature"], row["body"].encode()):
            found.append(f"{what}: the signature is not {row['practitioner_key']}'s over what is stored")
        if not signing.is_signed_by(row["public_key"] or "", row["attached_signature"], row["attached_body"].encode()):
            found.append(f"{what}: the signature is not {row['actor']}'s, who attached it, over what is stored")
    return found
