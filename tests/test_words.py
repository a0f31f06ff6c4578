"""The words that people read: idioms that a native reader stumbles over stay away."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("archive_assets", "l1db_pipeline", "pipeline_runtime", "visit_tables")
BANNED = re.compile(
    r"\b(anew|begun|mend|mended|of nobody|(is|are|be) told|may go|goes? (on|with)"
    r"|comes? twice|say (of|more)"
    r"|longest (wait|statement|time|age))\b"
    r"|^most (?!of\b)\w+ |\bis no $"
    r"|\bis no (?!longer\b|such\b)\w+(?<!is no )(?=[:;,.]|$)",
    re.IGNORECASE,
)


def _texts() -> Iterator[tuple[str, str]]:
    """Yield every text of the packages, docstrings included, and where it is."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value
    for path in sorted((ROOT / "docs").rglob("*.md")):
        if "generated" not in path.parts:  # from the texts above
            yield str(path.relative_to(ROOT)), path.read_text()


def test_no_text_has_an_idiom_that_was_removed() -> None:
    found = [
        f"{where}: {match[0]}"
        for where, text in _texts()
        for match in BANNED.finditer(text)
        if "there " not in text[max(0, match.start() - 6) : match.start()].lower()
    ]

    assert found == []
