"""What follows by itself: an asset whose upstream was made, partition by partition."""

from typing import Any

import dagster as dg

__all__ = ["follows", "never"]


def follows(*upstream: dg.AssetKey) -> dg.AutomationCondition[dg.AssetKey]:
    """Return the condition of an asset that is made after any of these was made.

    A run that makes both makes nothing twice: the asset is awaited while a run that
    is to make it continues, and asked for only if that run ends without it. What was
    made before the first evaluation, and never followed, is followed then.
    """
    condition = dg.AutomationCondition
    chosen = dg.AssetSelection.assets(*upstream)
    is_new = condition.any_deps_match(condition.newly_updated()).allow(chosen)
    # one reset each: Dagster 1.13 compares the times of two events of one tick only
    # where neither side is joined with others
    since_asked = is_new.since(condition.newly_requested())
    since_made = is_new.since(condition.newly_updated())
    with_it = condition.any_deps_match(condition.will_be_requested()).allow(chosen)
    was_there = condition.any_deps_match(~condition.missing()).allow(chosen)
    never_followed = condition.initial_evaluation() & condition.missing() & was_there
    handled = condition.newly_requested() | condition.newly_updated()
    wanted = (
        (since_asked & since_made).with_label("upstream was made since")
        | with_it.with_label("upstream is asked for now")
        | never_followed.since(handled).with_label("never followed")
    )
    # a tick sees the events up to its start, but what goes on at its end: what was made
    # in between is neither, and seen as made by the next tick
    idle = ~condition.in_progress()
    just_ended = idle.newly_true() & ~condition.initial_evaluation()
    return ~just_ended & idle & wanted


def never() -> dg.AutomationCondition[Any]:  # Any: of assets and of checks
    """Return the condition of a check that runs with no asset: by its job alone."""
    missing = dg.AutomationCondition.missing()
    return missing & ~missing
