"""All instruments of a registry, reconciled into one run. Pure: a run and its recomputation offline share it."""

from collections.abc import Mapping

from tieout_reconcile.facts import Chain
from tieout_reconcile.instrument import Book, CutOff, reconcile_instrument
from tieout_reconcile.results import RULES, Inputs, Run, worst


def reconcile_all(book: Book, chains: Mapping[str, Chain], inputs: Inputs) -> Run:
    """Return the run over every instrument that is valid at the cut-off; ``chains`` is keyed by mint."""
    cut_off = CutOff(inputs.as_of_slot, inputs.as_of_time)
    parts = [
        reconcile_instrument(instrument, book, chains[instrument.mint], cut_off)
        for instrument in book.registry.instruments
        if instrument.valid_from is None or cut_off.at is None or instrument.valid_from <= cut_off.at
    ]
    verdict = worst([result.verdict for result, _ in parts])
    findings = tuple(finding for _, found in parts for finding in found)
    return Run(RULES, verdict, inputs, tuple(result for result, _ in parts), findings)
