"""Files that somebody names."""

from pathlib import Path


def is_there(path: Path) -> bool:
    """Whether something is at a path. Raises OSError where nobody can say: a name too long, a folder kept shut.

    ``Path.exists`` says of those that nothing is there, from Python 3.14 on.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return True
