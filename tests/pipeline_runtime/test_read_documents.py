"""YAML and JSON of others: bounded in size and depth, from regular files only."""

import json
import os
import socket
from pathlib import Path

import pytest

from pipeline_runtime.documents import (
    MOST_DEPTH,
    DocumentError,
    open_regular,
    parse_json,
    parse_yaml,
    read_file,
    read_json,
)

_BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 10)}]\n"
    for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested more than 64 deep"),
        ("{a: " * 100_000, "nested more than 64 deep"),
        ("- " * 100_000, "nested more than 64 deep"),
        ("? " * 100_000, "nested more than 64 deep"),
        ("\n".join(" " * n + "a:" for n in range(2000)), "nested more than 64 deep"),
        (_BOMB, "more than 2000000 values"),
        ("a: &a [*a]", "a is an alias of itself"),
        ("night: 2026-13-45", "not plain YAML: month must be"),
        ("? [1, 2]\n: 3", "not plain YAML"),
        ("n: " + "1" * 5000, "not plain YAML"),
        ("!!python/object/apply:os.getpid []", "not plain YAML"),
        (b"\xff\xfe\xff", "not plain YAML"),
        ("a: [", "not plain YAML"),
    ],
)
def test_hostile_yaml_is_refused_by_name(text: str | bytes, message: str) -> None:
    with pytest.raises(DocumentError, match=rf"^some\.yaml.* {message}"):
        parse_yaml(text, "some.yaml")


def test_aliases_and_merge_keys_of_a_plain_file_are_read() -> None:
    text = "base: &base {a: 1, b: [x]}\nmore: {<<: *base, c: 2026-01-02}\nlist: *base\n"

    found = parse_yaml(text, "some.yaml")

    assert found["more"]["b"] == ["x"]
    assert found["list"] == {"a": 1, "b": ["x"]}
    assert found["more"]["c"].isoformat() == "2026-01-02"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [MOST_DEPTH + 1, 500, 200_000])
def test_deep_json_is_refused(opening: str, depth: int) -> None:
    closing = "]" if opening == "[" else "}"

    with pytest.raises(DocumentError, match=r"^some\.json is nested more than 64 deep"):
        parse_json(opening * depth + "1" + closing * depth, "some.json")


def test_json_of_the_deepest_kind_that_is_allowed_is_read() -> None:
    text = "[" * MOST_DEPTH + "]" * MOST_DEPTH

    assert json.dumps(parse_json(text, "some.json")) == text


@pytest.mark.parametrize("text", ["", "{", "1" * 5000, b"\xff"])
def test_what_is_no_json_is_refused_by_name(text: str | bytes) -> None:
    with pytest.raises(DocumentError, match=r"^some\.json is not JSON"):
        parse_json(text, "some.json")


def test_a_file_beyond_the_limit_is_refused_and_one_at_it_is_read(
    tmp_path: Path,
) -> None:
    file = tmp_path / "file.json"
    file.write_text("[1,2,3]")

    with pytest.raises(DocumentError, match=r"larger than 6 bytes"):
        read_file(file, 6)
    assert read_file(file, 7) == b"[1,2,3]"
    assert read_json(file) == [1, 2, 3]


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "socket"])
def test_only_regular_files_are_opened(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "it"
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "folder":
        place.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(place))

    with pytest.raises(OSError, match=r"is not a regular file|No such device"):
        open_regular(place)


def test_a_link_to_a_regular_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")

    with open_regular(tmp_path / "link") as stream:
        assert stream.read() == b"x"
