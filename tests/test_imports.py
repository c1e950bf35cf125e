"""Imports point one way through the library, in the order in which data flows."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Each part of the library with the parts it may import.
LAYERS = ("constants", "ops", "attention", "cells", "blocks", "heads")
MODELS = (*LAYERS, "layers", "models")
SOURCES = ("data", "counts")  # files and counting: constants and ops only
LIBRARY = (*MODELS, *SOURCES, "training", "decoding", "analysis", "serving")
MAY_IMPORT = {
    "constants": (),
    "ops": ("constants",),
    "attention": LAYERS[:2],
    "cells": LAYERS[:3],
    "blocks": LAYERS[:4],
    "heads": LAYERS[:5],
    "layers": LAYERS,  # the flat public namespace
    "models": (*LAYERS, "layers"),
    "data": LAYERS[:2],
    "counts": LAYERS[:2],
    "training": (*MODELS, *SOURCES),
    "decoding": (*MODELS, *SOURCES),
    "analysis": MODELS,
    "serving": LIBRARY[:-1],
    "__init__": LIBRARY,
    "pipelines": (*LIBRARY, "__init__"),
}

# What `import seqkeras` must do without: it is loaded where it is used.
HEAVY = ("matplotlib", "tensorflow_datasets", "sacrebleu", "sentencepiece", "babel", "starlette")


def part(module):
    """Returns the part of the project that a dotted module name belongs to, None if to no part."""
    names = module.split(".")
    if names[0] == "seqkeras":
        return names[1] if len(names) > 1 else "__init__"
    return names[0] if names[0] in ("pipelines", "tests", "benchmarks") else None


def imported_modules(tree, module, is_package):
    """Yields `(line, dotted name)` of everything that the module imports, in functions too."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, base]) if base else ".".join(kept)
            for alias in node.names:
                # `from seqkeras import constants` names the part itself.
                yield node.lineno, f"{base}.{alias.name}" if base == "seqkeras" else base


def offences(source, module, is_package=False):
    """Returns one line of text for each import that goes against the order."""
    here = part(module)
    allowed = {here, *MAY_IMPORT[here]}
    found = []
    for line, name in imported_modules(ast.parse(source), module, is_package):
        there = part(name)
        if there is not None and there not in allowed:
            found.append(f"{module}, line {line}: {here} must not import {there} ({name})")
    return found


def project_files():
    for folder in ("seqkeras", "pipelines"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            names = path.relative_to(ROOT).with_suffix("").parts
            is_package = names[-1] == "__init__"
            yield path, ".".join(names[:-1] if is_package else names), is_package


def test_imports_point_one_way():
    found = []
    for path, module, is_package in project_files():
        found += offences(path.read_text(encoding="utf-8"), module, is_package)
    assert not found, "\n".join(found)


def test_every_part_has_a_place_in_the_order():
    parts = {part(module) for _, module, _ in project_files()}
    assert parts <= set(MAY_IMPORT), f"give {parts - set(MAY_IMPORT)} a place in MAY_IMPORT"


def test_every_folder_is_a_package():
    # One that is not would be missing from the wheel.
    folders = {path.parent for path, _, _ in project_files()}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


@pytest.mark.parametrize(
    ("source", "module", "is_package"),
    [
        ("from seqkeras.cells import gru", "seqkeras.attention.base", False),
        ("import seqkeras.models.seq2seq", "seqkeras.blocks.pyramid", False),
        ("def f():\n    from seqkeras import decoding", "seqkeras.training.callbacks", False),
        ("from ..models import seq2seq", "seqkeras.cells.rnn", False),
        ("from ..training.losses import X", "seqkeras.data", True),
        ("from . import decoding", "seqkeras", True),
        ("from tests import contract", "seqkeras.ops.masks", False),
        ("import seqkeras", "seqkeras.serving.export", False),
    ],
)
def test_an_import_against_the_order_is_named(source, module, is_package, monkeypatch):
    if module == "seqkeras":  # the top may import all: take that away
        monkeypatch.setitem(MAY_IMPORT, "__init__", ("constants",))
    (offence,) = offences(source, module, is_package)
    assert module in offence
    assert "must not import" in offence


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from seqkeras.ops.masks import f", "seqkeras.attention.base"),
        ("from .base import f", "seqkeras.attention.dot"),
        ("from ..ops import masks", "seqkeras.data.batching"),
        ("import numpy as np\nimport keras", "seqkeras.ops.masks"),
        ("import seqkeras", "pipelines.translation"),
    ],
)
def test_an_import_along_the_order_is_not(source, module):
    assert offences(source, module) == []


def test_the_library_imports_without_what_only_some_of_it_uses():
    # Blocked rather than looked for: Keras itself loads matplotlib where it is installed.
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); import seqkeras"
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
