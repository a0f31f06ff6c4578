"""Draw ``docs/lineage.svg``: every asset of both code locations and what feeds it.

Run it after an asset was added, renamed or removed; `tests/test_docs.py` says so.
"""

from collections import defaultdict
from collections.abc import Mapping
from html import escape
from pathlib import Path

from archive_assets.definitions import defs as archive_definitions
from l1db_pipeline.definitions import defs as l1db_definitions

__all__ = ["SVG", "assets", "drawn"]

SVG = Path(__file__).resolve().parents[1] / "docs" / "lineage.svg"
_COLOURS = {"simulation": "#fde7c8", "archive": "#d9e8fb", "l1db": "#dcf3df"}
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _EDGE = 236, 34, 70, 16, 20


def assets() -> dict[str, tuple[str, frozenset[str]]]:
    """Return each asset's group and the assets that feed it, by its key."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for definitions in (archive_definitions, l1db_definitions):
        graph = definitions().resolve_asset_graph()
        for key in graph.get_all_asset_keys():
            node = graph.get(key)
            name = key.to_user_string()
            group = node.group_name or "default"
            if name not in found or node.parent_keys:
                parents = (parent.to_user_string() for parent in node.parent_keys)
                found[name] = group, frozenset(parents)
    return found


def _depths(parents: Mapping[str, frozenset[str]]) -> dict[str, int]:
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            above = [depth(one) for one in parents[name] if one in parents]
            depths[name] = 1 + max(above, default=-1)
        return depths[name]

    for name in parents:
        depth(name)
    return depths


def drawn(found: Mapping[str, tuple[str, frozenset[str]]]) -> str:
    """Return the picture: a column for each step, a colour for each group."""
    depths = _depths({name: parents for name, (_, parents) in found.items()})
    columns: dict[int, list[str]] = defaultdict(list)
    order = list(_COLOURS)
    for name in sorted(found, key=lambda one: (order.index(found[one][0]), one)):
        columns[depths[name]].append(name)
    places = {
        name: (
            _EDGE + column * (_WIDTH + _GAP_X),
            2 * _EDGE + row * (_HEIGHT + _GAP_Y),
        )
        for column, names in columns.items()
        for row, name in enumerate(names)
    }
    width = max(x for x, _ in places.values()) + _WIDTH + _EDGE
    height = max(y for _, y in places.values()) + _HEIGHT + _EDGE
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (group, colour) in enumerate(_COLOURS.items()):
        x = _EDGE + number * 110
        lines += [
            (
                f'<rect x="{x}" y="10" width="14" height="14" fill="{colour}" '
                'stroke="#888"/>'
            ),
            f'<text x="{x + 20}" y="22">{group}</text>',
        ]
    for name, (x, y) in places.items():
        for parent in sorted(found[name][1] & places.keys()):
            from_x, from_y = places[parent]
            start, end = from_x + _WIDTH, x
            middle = (start + end) / 2
            a, b = from_y + _HEIGHT / 2, y + _HEIGHT / 2
            lines.append(
                f'<path d="M{start} {a} C{middle} {a} {middle} {b} {end} {b}" '
                'fill="none" stroke="#999"/>'
            )
    for name, (x, y) in places.items():
        above, _, last = name.rpartition("/")
        lines += [
            (
                f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" '
                f'fill="{_COLOURS[found[name][0]]}" stroke="#777"/>'
            ),
            f'<text x="{x + 8}" y="{y + (28 if above else 22)}">{escape(last)}</text>',
        ]
        if above:
            lines.append(
                f'<text x="{x + 8}" y="{y + 13}" font-size="9" fill="#555">'
                f"{escape(above)}/</text>"
            )
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    SVG.write_text(drawn(assets()))
    print(SVG)
