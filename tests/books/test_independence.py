"""The books must not know the detector: they call its front door, and read no code, name or rule from it."""

import ast
from pathlib import Path

FOLDER = Path(__file__).parent
DOOR = {
    "apply_registry", "import_statement", "import_orders", "import_records", "import_trades", "run", "Period", "Run",
    "Finding", "Imported", "BadInput", "list_records",
}  # fmt: skip


def trees() -> dict[str, ast.Module]:
    return {path.name: ast.parse(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.py"))}


def test_only_the_front_door_of_the_detector_is_imported() -> None:
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = node.module or ""
                assert not module.startswith("tieout_reconcile"), f"{name} takes something out of {module}"
                assert module.split(".")[0] != "reconcile", f"{name} shares code with the detector's own tests"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    assert not alias.name.startswith("tieout_reconcile."), f"{name} imports {alias.name}"
                    assert alias.asname is None or alias.name != "tieout_reconcile", f"{name} renames the detector"


def test_only_public_imports_and_run_are_called() -> None:
    used = {
        (name, node.attr)
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tieout_reconcile"
    }
    assert {attribute for _, attribute in used} <= DOOR, sorted(used)
    assert ("scoring.py", "run") in used


def test_the_detector_is_not_reached_in_a_roundabout_way() -> None:
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("__import__", "exec", "eval"), f"{name} calls {node.func.id}"
            if isinstance(node, ast.Import):
                assert not any(alias.name.split(".")[0] == "importlib" for alias in node.names), name
