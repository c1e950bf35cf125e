"""Joey NMT's recurrent model as a worker: bidirectional GRU, Bahdanau attention, GRU.

Runs in Joey NMT's own environment (`requirements.txt`) and speaks `protocol.py`. What is timed is
Joey NMT's code: `TrainManager.train_and_validate` with its batches, clipping, optimizer and
schedule, and `predict` with its tokenizer, search and detokenizer. On `quit` its weights are saved
to WORK/joeynmt/latest.ckpt, from where `--checkpoint` takes them.

Tokens are `Batch.ntokens`: target positions that are not padding, END included, START not.
"""

import argparse
import logging
import pathlib

import sentencepiece
import yaml
from joeynmt.config import load_config, parse_global_args
from joeynmt.datasets import build_dataset
from joeynmt.prediction import predict, prepare
from joeynmt.training import TrainManager

from protocol import Channel, TrainingWindows


def configuration(data, subwords, work, checkpoint):
    """Returns Joey NMT's configuration, as a dict.

    Args:
        data: Path. Folder with train, val and test_2016_flickr in English and German.
        subwords: Path. The joint sentencepiece model.
        work: Path. Folder to write to.
        checkpoint: Path of saved weights to start from, or None.
    """
    language = {
        "max_length": 100,
        "level": "bpe",
        "voc_file": str(work / "joint.vocab"),
        "tokenizer_type": "sentencepiece",
        "tokenizer_cfg": {"model_file": str(subwords), "pretokenizer": "none"},
    }
    embeddings = {"embedding_dim": 256, "scale": False, "dropout": 0.2}
    recurrent = {
        "type": "recurrent",
        "rnn_type": "gru",
        "num_layers": 1,
        "embeddings": embeddings,
        "hidden_size": 256,
        "dropout": 0.2,
    }
    return {
        "name": "bigru_bahdanau",
        "joeynmt_version": "2.3.0",
        "model_dir": str(work / "joeynmt"),
        "use_cuda": False,
        "random_seed": 42,
        "data": {
            "train": str(data / "train"),
            "dev": str(data / "val"),
            "test": str(data / "test_2016_flickr"),
            "dataset_type": "plain",
            "src": {"lang": "en", **language},
            "trg": {"lang": "de", **language},
        },
        "testing": {
            "beam_alpha": 1.0,
            "batch_size": 64,
            "batch_type": "sentence",
            "max_output_length": 60,
            "eval_metrics": [],  # scoring is not part of what is timed
        },
        "training": {
            "load_model": checkpoint and str(checkpoint),
            "optimizer": "adam",
            "adam_betas": [0.9, 0.999],
            "clip_grad_norm": 1.0,
            "scheduling": "warmupinversesquareroot",
            "learning_rate": 0.001,
            "learning_rate_min": 1.0e-9,
            "learning_rate_warmup": 400,
            "normalization": "tokens",
            "loss": "crossentropy",
            "batch_size": 80,
            "batch_type": "sentence",
            "epochs": 1000,  # until told to quit
            "validation_freq": 10**9,
            "logging_freq": 100,
            "early_stopping_metric": "loss",
        },
        "model": {
            "initializer": "xavier_uniform",
            "embed_initializer": "normal",
            "embed_init_weight": 0.1,
            "init_rnn_orthogonal": True,
            "tied_embeddings": False,
            "tied_softmax": False,
            "encoder": {**recurrent, "bidirectional": True},
            "decoder": {
                **recurrent,
                "hidden_dropout": 0.2,
                "input_feeding": True,
                "init_hidden": "bridge",
                "attention": "bahdanau",
            },
        },
    }


def write_vocabulary(subwords, path):
    """Writes the pieces one a line; Joey NMT puts its four special tokens first."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(subwords))
    pieces = [model.id_to_piece(i) for i in range(model.vocab_size())]
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8")


class Decoder:
    """Translates the first sentences of the test set, without looking at their translations."""

    def __init__(self, model, arguments, test_data, work):
        self._model = model
        self._arguments = arguments
        self._test_data = test_data
        self._work = work

    def __call__(self, beam, sentences):
        source = self._work / "sentences"
        self._write(source, sentences)
        test = self._test_data
        data = build_dataset(
            "plain",
            str(source),
            test.src_lang,
            test.trg_lang,
            "test",
            test.tokenizer,
            test.sequence_encoder,
            test.has_prompt,
        )
        translations = predict(
            model=self._model,
            data=data,
            device=self._arguments.device,
            n_gpu=0,
            args=self._arguments.test._replace(beam_size=beam),
            autocast=self._arguments.autocast,
        )[2]
        return len(translations), sum(len(line.split()) for line in translations)

    def _write(self, source, sentences):
        lines = self._test_data.src[:sentences]
        source.with_suffix(f".{self._test_data.src_lang}").write_text(
            "\n".join(lines) + "\n", encoding="utf-8"
        )


class Trainer(TrainManager):
    """Joey NMT's trainer, whose loop is cut into windows."""

    windows = None

    def _train_step(self, batch):
        # The loop has just read the batch of the first step of a window before the window starts,
        # and that of the step after it before it ends.
        self.windows.before_step()
        losses = super()._train_step(batch)
        self.windows.after_step(batch.ntokens)
        return losses


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--subwords", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--checkpoint", type=pathlib.Path)
    options = parser.parse_args()

    channel = Channel()
    logging.basicConfig(level=logging.INFO)
    (options.work / "joeynmt").mkdir(parents=True, exist_ok=True)
    write_vocabulary(options.subwords, options.work / "joint.vocab")
    config = configuration(options.data, options.subwords, options.work, options.checkpoint)
    config_file = options.work / "joeynmt.yaml"
    config_file.write_text(yaml.safe_dump(config), encoding="utf-8")

    arguments = parse_global_args(load_config(config_file), rank=0, mode="train")
    model, train_data, dev_data, test_data = prepare(arguments, rank=0, mode="train")
    trainer = Trainer(
        model=model,
        model_dir=arguments.model_dir,
        device=arguments.device,
        rank=0,
        autocast=arguments.autocast,
        seed=arguments.seed,
        train_args=arguments.train,
        dev_args=arguments.test,
    )
    trainer.windows = TrainingWindows(channel, Decoder(model, arguments, test_data, options.work))
    trainer.train_and_validate(train_data=train_data, valid_data=dev_data)


if __name__ == "__main__":
    main()
