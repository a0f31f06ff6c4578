"""Pre-night simulations under their original names."""

from collections.abc import Sequence

from archive_assets.simulation.overhead import AnomalousOverheadFunc
from archive_assets.simulation.sim_data import make_sim_data_dir
from archive_assets.simulation.start_and_end import compute_sim_start_and_end

__all__ = [
    "AnomalousOverheadFunc",
    "compute_sim_start_and_end",
    "make_sim_data_dir",
    "run_prenight_sim_cli",
]


def run_prenight_sim_cli(cli_args: Sequence[str] = ()) -> int:
    """Run the command ``run_prenight_sim`` and return 0.

    Parameters
    ----------
    cli_args
        Its arguments; those of the process if there are none.
    """
    from archive_assets.cli.run_prenight_sim import main  # noqa: PLC0415 - a cycle

    main(args=list(cli_args) or None, standalone_mode=False)
    return 0
