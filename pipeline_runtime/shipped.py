"""Files that ship beside the code: of the checkout, or inside an installed wheel."""

from pathlib import Path

__all__ = ["shipped_file"]

_PACKAGE = Path(__file__).resolve().parent


def shipped_file(name: str) -> Path:
    """Return where a file of the project's top level is, such as ``dagster.yaml``.

    Raises
    ------
    FileNotFoundError
        If neither the checkout nor the package has it.
    """
    for folder in (_PACKAGE.parent, _PACKAGE):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{name} did not ship with {_PACKAGE}")
