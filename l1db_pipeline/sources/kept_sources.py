"""The one file of variable sources that the lineage keeps, with what it was made of."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from l1db_pipeline.sources.generators import catalog_size, sphere_blocks
from l1db_pipeline.sources.source_file import write_sources
from pipeline_runtime.documents import read_json

__all__ = ["SOURCES_FILE", "SourcesRecipe", "keep_sources", "kept_recipe"]

SOURCES_FILE = "variable_sources.npy"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourcesRecipe:
    """What decides every byte of a file of sources."""

    counts_per_fov: float
    """Mean number in a field of view of 3.5 deg."""
    hemisphere: int
    """-1 south, 1 north, 0 the whole sky."""
    seed: int

    @property
    def n_sources(self) -> int:
        """Number of rows of the file."""
        return catalog_size(self.counts_per_fov, self.hemisphere)


def keep_sources(folder: Path, recipe: SourcesRecipe) -> tuple[Path, bool]:
    """Make the file of a recipe unless the folder has it.

    Returns
    -------
    path, is_new
        The file, and whether it was made now.

    Raises
    ------
    SourcesFileError
        If the folder is not writable or the disk is full; the file is as before.
    """
    path = folder / SOURCES_FILE
    made_of = path.with_suffix(".json")
    wanted = json.dumps(asdict(recipe), sort_keys=True)
    if path.is_file() and made_of.is_file() and made_of.read_text() == wanted:
        return path, False
    folder.mkdir(parents=True, exist_ok=True)
    made_of.unlink(missing_ok=True)  # stopped half-way, the file is made again
    blocks = sphere_blocks(recipe.n_sources, recipe.hemisphere, recipe.seed)
    write_sources(path, recipe.n_sources, blocks)
    made_of.write_text(wanted)
    return path, True


def kept_recipe(folder: Path) -> SourcesRecipe | None:
    """Return what the folder's file was made of, `None` if there is none."""
    made_of = (folder / SOURCES_FILE).with_suffix(".json")
    if not made_of.is_file():
        return None
    return SourcesRecipe(**read_json(made_of))
