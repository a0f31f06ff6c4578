"""From an asset's page to its source: a link to the repository, or the file's path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from pipeline_runtime.environment import text_of

__all__ = ["with_source"]

_ROOT = Path(__file__).resolve().parents[2]  # where the packages lie
_TREE = "/tree/"


def with_source(assets: Sequence[dg.AssetsDefinition | dg.AssetSpec]) -> list[Any]:
    """Return assets that know the line they are declared in.

    ``SOURCE_URL`` makes a link of it that any browser can open.
    """
    known = dg.with_source_code_references(assets)
    source = text_of("SOURCE_URL")
    if source:
        repository, _, branch = source.rstrip("/").partition(_TREE)
        known = dg.link_code_references_to_git(
            known,
            git_url=repository.removesuffix("/-"),  # as GitLab has it
            git_branch=branch,
            file_path_mapping=dg.AnchorBasedFilePathMapping(_ROOT, ""),
        )
    return list(known)
