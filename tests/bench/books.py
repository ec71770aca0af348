"""How well breaks are told: generated books with injected defects, recall and precision by code.

A book comes from the second generator (``tests/books``), which shares no code with the detector: clean in all
its legitimate windows, then spoiled by none to five defects (the last books by kinds that none drew), then handed
in as files and chain rows. Found and expected breaks are compared by code, stock, reference and quantity: a wrong
code is a miss and a false alarm. Options: ``--seeds N`` (200), ``--first SEED`` (0), ``--json FILE``. Exits 1
unless exact-key cases are whole.
"""

import argparse
import asyncio
import json
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

# instead of this script's own folder, in which it would be found as the package ``books``
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from books.defects import inject, spoil
from books.kinds import KINDS, Kind
from books.making import make
from books.model import Book
from books.scoring import Score, reconcile, score
from books.windows import add_windows
from support.database import fresh_database, make_template, running_server
from tieout_database import connect

SEEDS = 200
TRIES = 6
"""Books kept for each kind that the dice did not draw: not every book gives the occasion."""


async def measure(server: str, template: str, seeds: range) -> tuple[Score, dict[str, int]]:
    """The score of all books together, and how often each kind was injected."""
    total, injected = Score(), dict.fromkeys(KINDS, 0)
    async with fresh_database(server, template) as dsn:
        db = await connect(dsn)
        for seed in seeds:
            book, names = spoiled(seed, wanting(injected, seeds[-1] - seed + 1))
            for name in names:
                injected[name] += 1
            total.add(score(book, await reconcile(db, book)))
        await db.close()
    return total, injected


def wanting(injected: dict[str, int], left: int) -> Kind | None:
    """A kind that no book has had yet, once only so many are left that it has to be put into one; else None."""
    missing = [KINDS[name] for name, count in injected.items() if not count]
    return missing[left % len(missing)] if missing and left <= TRIES * len(missing) else None


def spoiled(seed: int, kind: Kind | None) -> tuple[Book, list[str]]:
    """A book with its windows and defects: those that its dice draw, or one of a kind."""
    book = make(seed, kind.needs if kind else ())
    add_windows(book)
    if kind is not None and kind.suits(book.stocks[0]) and inject(book, kind, book.stocks[0]):
        return book, [kind.name]
    return book, spoil(book)


def table(total: Score, injected: dict[str, int], books: int, seconds: float) -> None:
    """Print the figures, what was missed, and what was made up."""
    defects, kinds = sum(injected.values()), sum(1 for n in injected.values() if n)
    print(f"{books} books, {defects} defects of {kinds} of {len(KINDS)} kinds, {seconds / books:.2f} s a book")
    print(f"{'code':<6}{'to be told':>11}{'told':>7}{'made up':>9}{'recall':>9}{'precision':>11}")
    for code in sorted(total.wanted | total.extra, key=lambda c: (c[0], int(c[1:]))):
        row = f"{total.wanted[code]:>11}{total.right[code]:>7}{total.extra[code]:>9}"
        print(f"{code:<6}{row}{shown(total.recall(code)):>9}{shown(total.precision(code)):>11}")
    row = f"{total.wanted.total():>11}{total.right.total():>7}{total.extra.total():>9}"
    print(f"{'all':<6}{row}{shown(total.recall()):>9}{shown(total.precision()):>11}")
    print(f"by an exact key: {total.keyed_right} of {total.keyed_wanted}")
    for line in (*total.missed, *total.alarms):
        print(f"  {line[:400]}")


def shown(part: Fraction) -> str:
    """A part of one, cut and never rounded up to it."""
    return f"{int(part * 10_000) / 10_000:.4f}"


def as_json(total: Score, injected: dict[str, int], books: int) -> dict[str, Any]:
    """The same as one object."""
    return {
        "schema": "tieout/bench-books/1", "books": books, "injected": injected,
        "codes": {
            c: {"wanted": total.wanted[c], "told": total.right[c], "made_up": total.extra[c]}
            for c in sorted(total.wanted | total.extra)
        },
        "recall": float(total.recall()), "precision": float(total.precision()),
        "keyed": {"wanted": total.keyed_wanted, "told": total.keyed_right}, "missed": total.missed,
        "alarms": total.alarms,
    }  # fmt: skip


def main() -> None:
    """Run the books."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    started = time.perf_counter()
    with running_server() as server:
        seeds = range(given.first, given.first + given.seeds)
        total, injected = asyncio.run(measure(server, make_template(server), seeds))
    table(total, injected, given.seeds, time.perf_counter() - started)
    if given.json:
        given.json.write_text(json.dumps(as_json(total, injected, given.seeds), indent=1) + "\n", "utf-8")
    sys.exit(0 if total.keyed_right == total.keyed_wanted and not total.alarms else 1)


if __name__ == "__main__":
    main()
