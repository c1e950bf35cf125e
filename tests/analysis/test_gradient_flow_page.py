"""The examples of docs/gradient_flow.md run, draw its pictures, and print what it says."""

import pathlib
import re

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "gradient_flow.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 5
    names = {}
    for example in examples:
        exec(compile(example, "docs/gradient_flow.md", "exec"), names)
    pictures = re.findall(r"\]\((pictures/\w+\.png)\)", PAGE)
    assert len(pictures) == 3
    for picture in pictures:
        assert (tmp_path / picture).read_bytes()[:4] == b"\x89PNG"
        assert (DOCS / picture).is_file()
    assert list((tmp_path / "runs" / "logs" / "gradient_flow").iterdir())
    said = [line[2:] for line in PAGE.splitlines() if re.match(r"# +[\[\d]", line)]
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(said) == 5
    for a, b in zip(printed, said, strict=True):
        numbers = [[float(n) for n in re.findall(r"-?[\d.]+", line)] for line in (a, b)]
        # Percentages after rounding on another CPU; all else is exact.
        assert numbers[0] == pytest.approx(numbers[1], abs=0.5 if "%" in b else 1e-6)
