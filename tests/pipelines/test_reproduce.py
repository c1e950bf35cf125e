import importlib
import json
from pathlib import Path

import pytest
import tyro

from pipelines import reproduce
from pipelines.long_memory_cells import NAMES

SCORES = {
    "translation": {
        "bleu": 35.0,
        "bleu_lowercase": 36.0,
        "chrf": 60.0,
        "exact_match": 1.0,
        "perplexity": 7.0,
    },
    "language_model": {"perplexity": 115.0, "bits_per_character": 1.2, "tokens": 82_430},
    "classification": {"accuracy": 0.5, "examples": 4, "macro_f1": 0.4},
}


@pytest.mark.parametrize("name", reproduce.ROWS)
def test_a_row_is_a_command_that_the_pipeline_takes(name):
    row = reproduce.ROWS[name]
    config = importlib.import_module(f"pipelines.{row.pipeline}_config")
    options = [option.format(data="DATA") for option in row.options]
    parsed = tyro.cli(
        config.Config, args=[*options, "--run", "runs/x"], default=config.PRESETS[row.preset]
    )
    assert parsed.run == "runs/x"
    if row.pipeline == "long_memory":
        assert parsed.model.cell in NAMES
        assert parsed.training.minutes > 0


@pytest.mark.parametrize(
    "name", ["dates", "control-charts", "ptb-small", "adding-gru", "set-maximum"]
)
def test_it_trains_evaluates_and_prints_a_row(name, monkeypatch, tmp_path, capsys):
    commands = []

    def run(pipeline, command, *arguments):
        commands.append((pipeline, command))
        folder = Path(arguments[arguments.index("--run") + 1])
        folder.mkdir(parents=True, exist_ok=True)
        config = {"seed": 7, "data": {"tests": ["one", "two"]}}
        metrics = {split: SCORES.get(pipeline) for split in ("one", "two")}
        metrics |= {"baselines": {"loss": 1 / 6}, "parameters": 12345, "steps": 9, "minutes": 1.0}
        metrics["test"] = {"loss": 0.01}
        if pipeline == "set_regression":
            metrics |= {"test": {"mae": 0.05}, "spread": {"test": {"mae": 0.01}}}
            metrics |= {"constant answer": {"mae": 18.0}, "seeds": {"1": {}, "2": {}}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "metrics.json").write_text(json.dumps(metrics))

    monkeypatch.setenv("SEQKERAS_DATA", str(tmp_path))
    monkeypatch.setattr(reproduce, "_run", run)
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    reproduce.main(name)
    pipeline = reproduce.ROWS[name].pipeline
    assert commands == [(pipeline, "train"), (pipeline, "evaluate")]
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == (1 if pipeline in ("long_memory", "set_regression") else 2)
    assert all(f"`make reproduce NAME={name}`" in row and " 7, " in row for row in rows)
    expected = {"translation": "BLEU 35.00", "classification": "accuracy 50.00 % of 4"}
    expected["language_model"] = "perplexity 115.00, 1.200 bits per character, 82,430 tokens"
    expected["set_regression"] = "MAE 0.0500 ± 0.0100, 2 seeds (constant answer 18); 12,345"
    assert expected.get(pipeline, "loss 0.01 (without memory 0.167); 12,345") in rows[0]
    with pytest.raises(SystemExit, match="a row is trained from scratch"):
        reproduce.main(name)


def test_an_unknown_name_names_the_known_ones():
    with pytest.raises(SystemExit, match="adding-unitary.*got 'mnist'"):
        reproduce.main("mnist")


def test_data_that_is_nowhere_is_said_before_training(monkeypatch):
    monkeypatch.delenv("SEQKERAS_DATA", raising=False)
    with pytest.raises(SystemExit, match="gun-point: set SEQKERAS_DATA"):
        reproduce.main("gun-point")
