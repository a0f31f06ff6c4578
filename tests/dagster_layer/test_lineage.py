import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from lineage import SVG, assets, drawn  # noqa: E402 - the path is set above


def test_the_picture_of_the_lineage_is_of_these_assets() -> None:
    assert SVG.read_text() == drawn(assets()), "run scripts/lineage.py"
