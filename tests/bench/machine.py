"""What a benchmark ran on: figures of two machines, or of two interpreters, are not to be compared without it."""

import platform
import time

ADDITIONS = 3_000_000
_TRIES = 5


def machine() -> str:
    """Return the interpreter with its compiler, and how long it takes for so many additions, the best of five tries.

    A CPython built without ``--enable-optimizations`` has the same version and takes up to 1.4 times as long.
    """
    best = min(_added() for _ in range(_TRIES))
    python = f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"
    return f"{python}; {ADDITIONS:,} additions take it {best:.2f} s"


def _added() -> float:
    started, total = time.perf_counter(), 0
    for n in range(ADDITIONS):
        total += n
    return time.perf_counter() - started
