"""The folders of the prototype archive on S3."""

from datetime import date

import pytest
import yaml
from lsst.resources import ResourcePath

from archive_assets.prototype_archive.layout import archived_simulations, check_files

pytestmark = pytest.mark.s3
DAY = date(2026, 1, 2)


def test_folders_are_found_and_their_files_checked(s3_bucket: str) -> None:
    base = f"{s3_bucket}/opsim/"
    folder = ResourcePath(f"{base}{DAY}/2/", forceDirectory=True)
    metadata = {"files": {"observations": {"name": "opsim.db", "md5": "0" * 32}}}
    folder.join("opsim.db").write(b"visits")
    folder.join("sim_metadata.yaml").write(yaml.safe_dump(metadata).encode())
    ResourcePath(f"{base}{DAY}/3/opsim.db").write(b"half a simulation")

    found = [uri for uri, _, _ in archived_simulations(base, DAY, DAY)]

    assert found == [folder.geturl()]
    assert check_files(folder) == {"opsim.db": False}
