"""Who makes a visits table: rubin_scheduler, a file that is there, another program."""

from archive_assets.simulation.drivers.command import ExternalCommandDriver
from archive_assets.simulation.drivers.opsim_file import OpsimFileDriver
from archive_assets.simulation.drivers.rubin import RubinSchedulerDriver

__all__ = ["ExternalCommandDriver", "OpsimFileDriver", "RubinSchedulerDriver"]
