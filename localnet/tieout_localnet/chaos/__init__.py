"""Misbehaviour on command: rules, seeded decisions, and the places where they are applied.

Lies are told on the way out: the stored chain never contains one.
"""

from tieout_localnet.chaos.book import Book, Firing
from tieout_localnet.chaos.rules import BadRule, Rule, Twin, from_table, load

__all__ = ["BadRule", "Book", "Firing", "Rule", "Twin", "from_table", "load"]
