"""docs/threat-model.md names real tests, and none of the claims here is missing from it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()

MACHINERY = {"test_the_search_finds.py", "test_the_page.py"}
"""Tests of the tools, of which the page names only some."""


def names_of_tests(path: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_")}


def test_every_test_and_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(?:[\w/]+\.py::)?(test_\w+)`", PAGE))
    existing: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        if "node_modules" not in path.parts:
            existing |= names_of_tests(path)
    assert len(named) > 30
    assert named <= existing
    for path in re.findall(r"`(tests/[\w/.]+?)(?:::\w+)?`", PAGE):
        assert (ROOT / path).exists(), path


def test_every_claim_that_is_tested_is_on_the_page() -> None:
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.name not in MACHINERY and f"`{path.name}`" not in PAGE:
            missing = [name for name in names_of_tests(path) if name not in PAGE and not is_control(name)]
            assert not missing, path.name


def is_control(name: str) -> bool:
    return name in {"test_the_client_can_be_imported_where_it_is_installed", "test_the_clients_wheel_does_open_frames"}
