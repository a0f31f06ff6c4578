"""The prototype of 2018 by the names that its scripts import."""

import logging
from importlib import import_module

import numpy as np
import pytest

import l1db_pipeline
from l1db_pipeline import constants
from l1db_pipeline.timer import Timer

NAMES = {
    "DIA": ["DIA"],
    "constants": [
        "FOV_deg",
        "FOV_rad",
        "HTM_LEVEL",
        "HTM_MAX_RANGES",
        "N_FALSE_PER_VISIT",
        "N_TRANS_PER_VISIT",
    ],
    "generators": ["rand_cone_xyz", "rand_sphere_xyz"],
    "geom": ["make_square_tiles", "rotation_matrix"],
    "l1db": [
        "DiaForcedSource",
        "DiaObject",
        "DiaObject_short",
        "DiaSource",
        "DiaSource_full",
        "L1db",
        "Visit",
    ],
    "timer": ["Timer"],
}
"""Public names of each module of ``lsst.l1dbproto``, March 2018."""


def test_every_name_of_the_original_is_in_the_module_of_that_name() -> None:
    missing = []
    for module_name, names in NAMES.items():
        if module_name != "DIA":  # a file of this name would hide dia.py on some disks
            import_module(f"l1db_pipeline.{module_name}")
        module = getattr(l1db_pipeline, module_name)
        missing += [f"{module_name}.{n}" for n in names if not hasattr(module, n)]

    assert missing == []


def test_constants_have_the_values_of_the_original() -> None:
    assert constants.FOV_deg == pytest.approx(3.5)
    assert constants.FOV_rad == np.radians(3.5)
    assert (constants.N_TRANS_PER_VISIT, constants.N_FALSE_PER_VISIT) == (100, 5050)
    assert (constants.HTM_LEVEL, constants.HTM_MAX_RANGES) == (20, 64)


def test_a_timer_logs_what_a_block_took(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "timer"):
        with Timer("DIA"):
            pass
        with pytest.raises(ZeroDivisionError), Timer("failed"):
            _ = 1 / 0
        with Timer("silent", doPrint=False):
            pass

    (line,) = caplog.messages
    assert line.startswith("DIA: real=0.")
    assert [part.partition("=")[0] for part in line.split()[1:]] == [
        "real",
        "user",
        "sys",
    ]


def test_a_timer_adds_up_what_lies_between_start_and_stop() -> None:
    timer = Timer().stop()

    assert str(timer) == "real=0.000 user=0.000 sys=0.000"

    timer.start()
    np.linalg.svd(np.ones((300, 300)))
    first = str(timer.stop())

    assert first == str(timer)
    assert first != "real=0.000 user=0.000 sys=0.000"
