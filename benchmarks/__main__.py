"""Run benchmarks by name: ``python -m benchmarks [NAME ...]``; all without a name.

Each program prints one JSON line a figure: ``name``, ``unit``, ``ours`` and, where
they exist, ``peer``, ``limit`` and ``ratio``.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def programs() -> dict[str, Path]:
    """Return every benchmark program by name."""
    return {
        path.stem: path
        for path in sorted(FOLDER.glob("*.py"))
        if not path.stem.startswith("_")
    }


def main(names: list[str]) -> int:
    """Run the named benchmarks; the first failure's exit code is ours."""
    known = programs()
    chosen = {
        name: [key for key in known if key == name or key.startswith(f"{name}_")]
        for name in names or known
    }
    if unknown := [name for name, found in chosen.items() if not found]:
        print(
            f"Error: no benchmark {', '.join(unknown)}; choose from {', '.join(known)}",
            file=sys.stderr,
        )
        return 2
    codes = [
        subprocess.run([sys.executable, known[key]], check=False).returncode
        for key in dict.fromkeys(key for found in chosen.values() for key in found)
    ]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
