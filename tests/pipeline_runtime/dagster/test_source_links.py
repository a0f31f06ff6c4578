"""The page of an asset leads to its source: by path, or by a link for any browser."""

from pathlib import Path

import dagster as dg
import pytest

from archive_assets.defs.comparison import night_comparison
from pipeline_runtime.dagster.source_links import with_source

ROOT = Path(__file__).resolve().parents[3]
PLACE = "archive_assets/defs/comparison.py"


def _reference(asset: dg.AssetsDefinition) -> object:
    (spec,) = asset.specs
    (reference,) = spec.metadata["dagster/code_references"].code_references
    return reference


def _line() -> int:
    lines = (ROOT / PLACE).read_text().splitlines()
    return lines.index("@dg.asset(") + 1


def test_an_asset_knows_the_line_that_declares_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SOURCE_URL", raising=False)

    (asset,) = with_source([night_comparison])

    assert _reference(asset) == dg.LocalFileCodeReference(
        file_path=str(ROOT / PLACE), line_number=_line()
    )


@pytest.mark.parametrize(
    ("source", "link"),
    [
        ("https://github.com/lsst/ours/tree/main", "https://github.com/lsst/ours"),
        (
            "https://gitlab.site.org/lsst/ours/-/tree/main",
            "https://gitlab.site.org/lsst/ours/-",
        ),
    ],
    ids=["github", "gitlab"],
)
def test_a_repository_makes_a_link_of_it(
    source: str, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_URL", source)

    (asset,) = with_source([night_comparison])

    reference = _reference(asset)
    assert isinstance(reference, dg.UrlCodeReference)
    place = f"/main/{PLACE}#L{_line()}"
    assert reference.url in {f"{link}/{kind}{place}" for kind in ("tree", "blob")}
