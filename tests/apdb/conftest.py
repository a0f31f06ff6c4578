"""Felis schemas are read by the parser in C: the one in Python takes seconds a file."""

from collections.abc import Iterator

import pytest
import yaml


@pytest.fixture(autouse=True, scope="package")
def fast_yaml() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "SafeLoader", yaml.CSafeLoader)
        yield
