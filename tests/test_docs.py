"""The documentation: no dead link, no page that nobody finds, true generated parts."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
sys.path.insert(0, str(ROOT / "scripts"))

import reference  # noqa: E402 - the path is set above


def _links(text: str) -> list[str]:
    """Return the targets of links and pictures that are files."""
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", without_code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = _links(page.read_text())

    assert [link for link in links if not (DOCS / link).exists()] == []


def test_the_readme_links_every_page() -> None:
    linked = set(_links((ROOT / "README.md").read_text()))

    assert {f"docs/{page.name}" for page in PAGES} - linked == {"docs/index.md"}


def test_the_table_of_contents_has_every_page_once() -> None:
    trees = re.findall(
        r"```\{toctree\}\n(?::[^\n]*\n)*\n(.*?)```",
        (DOCS / "index.md").read_text(),
        re.DOTALL,
    )
    listed = "\n".join(trees).split()

    assert sorted(listed) == sorted(p.stem for p in PAGES if p.stem != "index")


def test_no_picture_is_left_without_a_page() -> None:
    shown = {link for page in PAGES for link in _links(page.read_text())}
    pictures = {p.name for p in DOCS.iterdir() if p.suffix in {".png", ".svg"}}

    assert pictures <= shown


def test_the_reference_of_commands_has_every_command() -> None:
    text = reference.commands()

    for name in ("## ap_proto\n", "### vseqarchive search\n", "### l1db verify\n"):
        assert name in text
    assert "### prenight site-data synthesize\n" in text
    assert "### vseqarchive schema upgrade\n" in text


def test_the_reference_of_tables_has_columns_with_units() -> None:
    l1, vsmd = reference.l1_tables(), reference.vsmd_tables()

    assert "| `ra` | double | deg | no | Right ascension. |" in l1
    assert "## L1Ledger\n" in l1
    assert "## nightly_stats\n" in vsmd
    assert "- `p95` double precision\n" in vsmd
    assert "- `idempotency_key` text\n" in vsmd


def test_every_include_of_a_page_is_generated(tmp_path: Path) -> None:
    reference.write_all(tmp_path)
    wanted = {
        name
        for page in PAGES
        for name in re.findall(r"\{include\} generated/(\S+)", page.read_text())
    }

    assert wanted == {path.name for path in tmp_path.iterdir()}
