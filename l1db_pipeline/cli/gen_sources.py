"""``gen_sources``: make the file of variable sources that ap_proto reads."""

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from l1db_pipeline.cli.edge import plain_errors, set_up_logging, verbose_option
from pipeline_runtime.edge import EdgeCommand, finish, is_quiet

__all__ = ["main"]

_log = logging.getLogger("gen_sources")


@click.command(cls=EdgeCommand)
@verbose_option
@click.option(
    "-m",
    "--mode",
    type=click.Choice(["xyz"]),
    default="xyz",
    show_default=True,
    help="What to write: xyz, unit vectors as float64 in an array of shape (n, 3).",
)
@click.option(
    "-H",
    "--hemi",
    type=int,
    default=0,
    show_default=True,
    help="0 for the whole sky, positive for the north, negative for the south.",
)
@click.option(
    "-n",
    "--counts",
    type=click.FloatRange(min=0),
    default=10000,
    show_default=True,
    help="Sources in each field of view of 3.5 deg, on average.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=None,
    help="Same seed, same file. Without it, sources differ at each run.",
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@plain_errors
def main(
    *, verbose: int, mode: str, hemi: int, counts: float, seed: int | None, file: Path
) -> None:
    """Write random variable sources, uniform on the sky, to FILE, a numpy array.

    The whole sky at 10,000 a field are 42,877,470 sources (1.03 GB), a hemisphere
    half of that. ".npy" is added to FILE if it is not its ending. FILE appears only
    when it is complete; stopped half-way or with a full disk, nothing is left.

    \b
    Example:
      gen_sources -H -1 --seed 1 sources.npy
      ap_proto -n 100 --start-time "2026-01-01 00:00:00" sources.npy
    """  # noqa: D301  # click wants the control character
    set_up_logging(verbose)
    from l1db_pipeline.sources.generators import catalog_size, sphere_blocks
    from l1db_pipeline.sources.source_file import write_sources

    if file.suffix != ".npy":  # as numpy.save, and so the original, does
        file = file.with_name(f"{file.name}.npy")
    count = catalog_size(counts, hemi)
    _log.info("writing %d sources (%s) to %s", count, mode, file)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:  # a plain kill cleans up as Ctrl-C does
        write_sources(file, count, _shown(sphere_blocks(count, hemi, seed), count))
    finally:
        signal.signal(signal.SIGTERM, before)
    finish(f"{count} sources in {file}", f"ap_proto {file}")


def _shown(blocks: Iterator[Any], count: int) -> Iterator[Any]:
    """Pass blocks on (arrays), with a bar on a terminal and log lines elsewhere."""
    from tqdm import tqdm

    done = 0
    with tqdm(
        total=count, unit=" sources", unit_scale=True, leave=False,
        disable=is_quiet() or None,
    ) as bar:  # fmt: skip
        for block in blocks:
            yield block
            tenths = 10 * done // count
            done += len(block)
            bar.update(len(block))
            if bar.disable and 10 * done // count > tenths:
                _log.info("%d of %d sources written", done, count)


if __name__ == "__main__":
    main()
