"""Makes ``lsst.dax.apdb`` know `L1Apdb`, which its factory has no hook for.

Three functions compare a configuration's class, or the name of an implementation, with
the two that they know. They are wrapped here, in their module and in those that hold
copies of them, if they are the functions that this was written for.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from lsst.dax.apdb import Apdb, ApdbConfig, ApdbReplica, factory, version
from lsst.dax.apdb import apdb as of_apdb
from lsst.dax.apdb import apdbReplica as of_replica  # noqa: N813 - a module of theirs
from lsst.dax.apdb import config as of_config

from l1db_pipeline.apdb.apdb import L1Apdb
from l1db_pipeline.apdb.config import L1ApdbConfig
from l1db_pipeline.errors import L1dbError

__all__ = ["ApdbVersionError", "register"]

_VERSION = "30.2026.4100"
_SOURCE = "d6aa46f383c9d739"
_HOLDERS: Mapping[str, tuple[ModuleType, ...]] = {
    "make_apdb": (factory, of_apdb),
    "make_apdb_replica": (factory, of_replica),
    "config_type_for_name": (factory, of_config),
}
"""Where each function is, its own module first."""
_Function = Callable[..., Any]  # Any: theirs, each of its own


class ApdbVersionError(L1dbError, RuntimeError):
    """``lsst.dax.apdb`` is not the version that the registration was written for."""


def register() -> None:
    """Make configurations of type ``l1`` known; a second call does nothing.

    Raises
    ------
    ApdbVersionError
        If the functions to be wrapped are not those that were known.
    """
    found = {name: getattr(factory, name) for name in _HOLDERS}
    if all(getattr(function, "is_l1", False) for function in found.values()):
        return
    _check(found)
    for name, wrapped in _wrappers(found).items():
        wrapped.is_l1 = True  # type: ignore[attr-defined]  # a mark for the next call
        for module in _HOLDERS[name]:
            setattr(module, name, wrapped)


def _check(found: Mapping[str, _Function]) -> None:
    remedy = f"install lsst-dax-apdb=={_VERSION}, or a newer version of this package"
    source = "".join(inspect.getsource(function) for function in found.values())
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    if (version.__version__, digest) != (_VERSION, _SOURCE):
        raise ApdbVersionError(
            f"lsst.dax.apdb {version.__version__} (factory {digest}) is not the known "
            f"{_VERSION} (factory {_SOURCE}): {remedy}"
        )
    for name, function in found.items():
        for module in _HOLDERS[name]:
            if getattr(module, name) is not function:
                raise ApdbVersionError(
                    f"{module.__name__}.{name} was replaced by another package: "
                    "import only one that does so"
                )


def _wrappers(found: Mapping[str, _Function]) -> dict[str, _Function]:
    def make_apdb(config: ApdbConfig) -> Apdb:
        if type(config) is L1ApdbConfig:
            return L1Apdb(config)
        made: Apdb = found["make_apdb"](config)
        return made

    def make_apdb_replica(config: ApdbConfig) -> ApdbReplica:
        if type(config) is L1ApdbConfig:
            return L1Apdb(config).get_replica()
        made: ApdbReplica = found["make_apdb_replica"](config)
        return made

    def config_type_for_name(type_name: str) -> type[ApdbConfig]:
        if type_name == "l1":
            return L1ApdbConfig
        known: type[ApdbConfig] = found["config_type_for_name"](type_name)
        return known

    made = (make_apdb, make_apdb_replica, config_type_for_name)
    return {function.__name__: function for function in made}
