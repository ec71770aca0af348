"""What practitioners say of reports, as it may be shown: attached, checked again, by a key that is nobody's here."""

from collections.abc import Sequence

from tieout_reconcile import Attached, attached_of
from tieout_web.state import State


async def practitioners(parts: State, reports: Sequence[int]) -> dict[int, list[Attached]]:
    """Return by report the statements attached to it that hold. Raises DatabaseUnreachable."""
    found: dict[int, list[Attached]] = {}
    for row in await parts.reader.rows("practitioners", reports):
        if (one := attached_of(row)).holds:
            found.setdefault(one.report, []).append(one)
    return found
