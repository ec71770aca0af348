"""The ``tieout`` command: the only place that knows every package.

Each command imports its part when it runs, so that an installation with some of the extras
works, and names the extra that is missing.
"""
