"""How often a store is tried: what failed by itself is repeated, the ledger decides."""

import logging
from collections.abc import Callable

from l1db_pipeline.store.base import StoreOutcome
from l1db_pipeline.store.errors import (
    CommitLostError,
    ConnectionLostError,
    DeadlockError,
)
from l1db_pipeline.store.tables.current import StaleHomesError

__all__ = ["attempted"]

_log = logging.getLogger(__name__)
_ATTEMPTS = 3


def attempted(
    store: Callable[[bool], StoreOutcome], forget: Callable[[], None]
) -> StoreOutcome:
    """Store a unit, again if it has to be; return what became of it.

    Parameters
    ----------
    store
        One transaction, whole or nothing; takes whether what was read earlier of
        objects may be trusted. The ledger, its first statement, waits for an earlier
        attempt that the server has not ended yet, and knows whether it was committed.
    forget
        Drops what was read earlier of objects.
    """
    is_in_doubt, n_left = False, _ATTEMPTS
    while True:
        n_left -= 1
        try:
            outcome = store(n_left == _ATTEMPTS - 1)
        except StaleHomesError:
            # an object is not new: not read lately, or stored by another process
            if not n_left:
                raise
            forget()
        except (ConnectionLostError, DeadlockError) as error:
            if not n_left:
                raise
            _log.warning("stored again: %s", error)
            is_in_doubt |= isinstance(error, CommitLostError)
        else:
            return StoreOutcome.STORED if is_in_doubt else outcome
