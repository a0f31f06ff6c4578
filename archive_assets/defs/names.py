"""Names that several assets, jobs and sensors share: telescopes, variants, keys."""

from dataclasses import dataclass

import dagster as dg

from archive_assets.simulation import Telescope, Variant
from archive_assets.simulation.errors import VariantError
from archive_assets.simulation.variants import (
    load_variants,
    variants_file,
)

__all__ = [
    "NOMINAL",
    "Plan",
    "archived_key",
    "archived_variants",
    "completed_key",
    "plans",
    "simulation_key",
    "telescopes",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One variant of one telescope, as the variants file has it."""

    telescope: Telescope
    variant: Variant
    n_nights: int
    order: int
    """Place in the file: the nominal variant of a telescope is 0."""

    @property
    def name(self) -> str:
        """Name of its assets: telescope and variant."""
        return f"{self.telescope.value}_{self.variant.name}"


def plans() -> tuple[Plan, ...]:
    """Return every variant of every telescope, in the variants file's order."""
    return tuple(
        Plan(telescope=telescope, variant=variant, n_nights=found.nights, order=order)
        for telescope, found in load_variants().items()
        for order, variant in enumerate(found.variants)
    )


def telescopes() -> tuple[Telescope, ...]:
    """Return the telescopes of the variants file."""
    return tuple(load_variants())


def completed_key(telescope: Telescope) -> dg.AssetKey:
    """Return the key of the completed visits of a telescope."""
    return dg.AssetKey(["completed_visits", f"{telescope.value}_completed"])


def simulation_key(plan: Plan) -> dg.AssetKey:
    """Return the key of a variant's simulation."""
    return dg.AssetKey(["visit_simulations", plan.name])


def archived_key(plan: Plan) -> dg.AssetKey:
    """Return the key of a variant's archived sequence."""
    return dg.AssetKey(["archived_visit_sequences", plan.name])


def _nominal() -> Plan:
    for plan in plans():
        if plan.telescope is Telescope.SIMONYI:
            return plan
    raise VariantError(
        f"{variants_file()} has no telescope simonyi, whose first variant drives the "
        "AP prototype: add it, or unset PRENIGHT_VARIANTS"
    )


NOMINAL = _nominal()
"""The variant whose visits drive the AP prototype."""


def archived_variants() -> list[dg.AssetKey]:
    """Return the keys of the archived variants of the nominal one's telescope."""
    mine = (plan for plan in plans() if plan.telescope is NOMINAL.telescope)
    return [archived_key(plan) for plan in mine]
