"""The table of systems is whole, and names only what exists."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SYSTEMS = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
COUNTS = {"A": 11, "B": 14, "C": 6, "D": 10, "E": 9, "F": 7, "G": 4, "H": 11, "X": 29}


def rows():
    """Returns the tables' rows as lists of cells, those that begin with an id."""
    lines = [line.strip("|").split("|") for line in SYSTEMS.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    return [row for row in cells if re.fullmatch(r"[A-HX]\d\d", row[0])]


def test_every_id_has_one_row_in_order():
    expected = [f"{letter}{n:02}" for letter, count in COUNTS.items() for n in range(1, count + 1)]
    assert [row[0] for row in rows()] == expected


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:\w+/)+\w+\.py)`", SYSTEMS))))
def test_files_exist(path):
    assert (ROOT / path).is_file(), f"docs/systems.md names {path}"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`layers\.(\w+)`", SYSTEMS))))
def test_layers_exist(name):
    import seqkeras.layers

    assert hasattr(seqkeras.layers, name), f"docs/systems.md names the layer {name}"


def test_a_row_with_a_layer_has_a_test():
    untested = [row[0] for row in rows() if "`layers." in row[3] and "`tests/" not in row[4]]
    assert not untested


def test_the_test_of_an_erratum_cites_it():
    errata = [row for row in rows() if row[0].startswith("X")]
    silent = [
        f"{path} does not cite {row[0]}"
        for row in errata
        for path in re.findall(r"`(tests/[\w/]+\.py)`", row[5])
        if row[0] not in (ROOT / path).read_text(encoding="utf-8")
    ]
    assert not silent, "\n".join(silent)
