"""Signed reports: one file that an auditor recomputes offline, without node or database.

A bundle holds the report (canonical JSON), its signature, a page and a table for people, and all that it
was computed from: the files of the business, the ledger's rows, and the node's answers for a sample.
``verify`` computes the whole report again from those and compares it byte for byte.
"""
