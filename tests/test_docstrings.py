"""The examples in docstrings run, and print what they say they print."""

import doctest
import importlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples():
    for path in sorted((ROOT / "seqkeras").rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            names = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(names[:-1] if names[-1] == "__init__" else names)


@pytest.mark.parametrize("module", list(modules_with_examples()))
def test_examples(module):
    failed, attempted = doctest.testmod(importlib.import_module(module), optionflags=OPTIONS)
    assert attempted, f"{module} shows examples that doctest does not find"
    assert not failed, f"{failed} of {attempted} examples failed; what they printed is above"
