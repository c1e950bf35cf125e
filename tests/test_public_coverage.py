"""Every public layer has a contract test and an oracle test.

A test says what it covers with a marker (see CONTRIBUTING.md):

    @pytest.mark.covers("GRU", kind="oracle")
    def test_gru_equals_numpy(): ...

The marker is read from the source, so the test need not run. A skipped test covers nothing, and one
of the kind `contract` must call `check_layer_contract`.
"""

import ast
import inspect
import pathlib

import keras
import pytest

TESTS = pathlib.Path(__file__).parent
KINDS = ("contract", "oracle")


def dotted(node):
    """Returns `a.b.c` of the expression or of what it calls."""
    return ast.unparse(node.func if isinstance(node, ast.Call) else node)


def calls(function, name):
    return any(
        isinstance(node, ast.Call) and dotted(node).rpartition(".")[2] == name
        for node in ast.walk(function)
    )


def covered(source, where="test"):
    """Yields `(layer name, kind)` for every marker in the source; raises on one that is wrong."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        markers = [dotted(decorator) for decorator in function.decorator_list]
        if "pytest.mark.skip" in markers:
            continue
        for name, marker in zip(markers, function.decorator_list, strict=True):
            if name != "pytest.mark.covers":
                continue
            layers = [ast.literal_eval(argument) for argument in marker.args]
            kinds = [ast.literal_eval(keyword.value) for keyword in marker.keywords]
            place = f"{where}: {function.name}"
            if not layers or len(kinds) != 1 or kinds[0] not in KINDS:
                raise ValueError(
                    f"{place}: covers() takes names of layers and kind= one of {KINDS}"
                )
            if kinds[0] == "contract" and not calls(function, "check_layer_contract"):
                raise ValueError(f"{place}: a contract test must call check_layer_contract")
            yield from ((layer, kinds[0]) for layer in layers)


def public_layers():
    import seqkeras.layers

    return {
        name
        for name, member in vars(seqkeras.layers).items()
        if inspect.isclass(member) and issubclass(member, keras.Layer) and not name.startswith("_")
    }


def all_covered():
    found = set()
    for path in TESTS.rglob("test_*.py"):
        if path != pathlib.Path(__file__):
            found.update(covered(path.read_text(encoding="utf-8"), path.relative_to(TESTS)))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_public_layer_is_covered(kind):
    missing = public_layers() - {layer for layer, of_kind in all_covered() if of_kind == kind}
    assert not missing, f"no test is marked covers({sorted(missing)}, kind={kind!r})"


def test_every_marker_names_a_public_layer():
    unknown = {layer for layer, _ in all_covered()} - public_layers()
    assert not unknown, f"{sorted(unknown)} are marked as covered but are not in seqkeras.layers"


def test_markers_are_read():
    source = """
@pytest.mark.parametrize("x", [1])
@pytest.mark.covers("GRU", "LSTM", kind="oracle")
def test_a(x): ...

@pytest.mark.covers("GRU", kind="contract")
def test_b():
    contract.check_layer_contract(GRU)

@pytest.mark.skip(reason="later")
@pytest.mark.covers("SimpleRNN", kind="oracle")
def test_c(): ...
"""
    assert set(covered(source)) == {("GRU", "oracle"), ("LSTM", "oracle"), ("GRU", "contract")}


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ('covers("GRU", kind="contract")', "must call check_layer_contract"),
        ('covers("GRU", kind="oracel")', "kind= one of"),
        ('covers("GRU")', "kind= one of"),
        ('covers(kind="oracle")', "names of layers"),
    ],
)
def test_a_wrong_marker_raises(marker, message):
    with pytest.raises(ValueError, match=message):
        list(covered(f"@pytest.mark.{marker}\ndef test_a(): ..."))
