"""The bundle: a ZIP file, stored without compression, with the same bytes for the same content. Hostile when read."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tieout_reconcile.errors import BadInput

BUNDLE_BYTES_MAX = 4 * 1024**3
FILES_MAX = 200_000
REPORT, SIGNATURE, PAGE, TABLE = "report.json", "signature.json", "report.html", "report.csv"
LOADS, INDEX, BATCHES = "loads.json", "ledger/index.json", "ledger/batches.jsonl"
CONTENT = "ledger/content.txt"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def load_name(load: int) -> str:
    """Return the name of a load's body."""
    return f"loads/{load:06d}"


def mint_name(mint: str) -> str:
    """Return the name of a mint's rows."""
    return f"ledger/{mint}.jsonl"


def evidence_name(slot: int, tx_index: int) -> str:
    """Return the name of the node's answer for a transaction."""
    return f"evidence/{slot}-{tx_index}.json"


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return the bundle: the files in the order given, no time and no machine in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, data)
    return out.getvalue()


def unpack(path: Path | str) -> dict[str, bytes]:
    """Return the files of a bundle by name. Raises BadInput for anything that ``pack`` would not have written."""
    place = Path(path)
    try:
        if not place.is_file():
            raise BadInput(str(path), ["it is no file, or not there"])
        if place.stat().st_size > BUNDLE_BYTES_MAX:
            raise BadInput(str(path), [f"it is larger than {BUNDLE_BYTES_MAX} bytes"])
        with zipfile.ZipFile(place) as archive:
            return _files(str(path), archive)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as bad:
        raise BadInput(str(path), [f"it is no bundle of a report: {bad}"]) from None


def _files(path: str, archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries = archive.infolist()
    if len(entries) > FILES_MAX:
        raise BadInput(path, [f"it holds {len(entries)} files, at most {FILES_MAX} are taken"])
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise BadInput(path, ["it holds two files of one name"])
    # stored means: no file is larger than the bundle, so nothing can unfold to gigabytes
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in entries):
        raise BadInput(path, ["its files are compressed, those of a bundle are stored as they are"])
    if sum(entry.file_size for entry in entries) > BUNDLE_BYTES_MAX:
        raise BadInput(path, [f"its files are larger than {BUNDLE_BYTES_MAX} bytes"])
    return {entry.filename: archive.read(entry) for entry in entries}
