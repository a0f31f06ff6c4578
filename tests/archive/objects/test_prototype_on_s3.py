"""The folders of the prototype archive on S3."""

from datetime import date
from pathlib import Path

import pytest
import yaml

from archive_assets.prototype_archive.layout import (
    archived_simulations,
    check_files,
    claim_next_folder,
    transfer_folder,
)

pytestmark = pytest.mark.s3
TODAY = date(2026, 1, 2)


def test_folders_are_claimed_filled_and_found(s3_bucket: str, tmp_path: Path) -> None:
    (tmp_path / "opsim.db").write_bytes(b"visits")
    metadata = {"files": {"observations": {"name": "opsim.db", "md5": "0" * 32}}}
    (tmp_path / "sim_metadata.yaml").write_text(yaml.safe_dump(metadata))
    base = f"{s3_bucket}/opsim/"

    claimed = claim_next_folder(base, TODAY)
    filled = transfer_folder(tmp_path, base, TODAY)

    assert claimed.geturl() == f"{base}2026-01-02/1/"
    assert filled.geturl() == f"{base}2026-01-02/2/"
    assert [uri for uri, _, _ in archived_simulations(base, TODAY, TODAY)] == [
        filled.geturl()
    ]
    assert check_files(filled) == {"opsim.db": False}
