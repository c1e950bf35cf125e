"""Joey NMT's models as a worker: recurrent with attention, and the Transformer.

Runs in Joey NMT's own environment (`requirements.txt`) and speaks `protocol.py`. What is timed is
Joey NMT's code: `TrainManager.train_and_validate` with its batches, clipping, optimizer and
schedule, and `predict` with its tokenizer, search and detokenizer. On `quit` its weights are saved
to WORK/joeynmt-MODEL/UPDATES.ckpt, from where `--weights` takes them.

Tokens are `Batch.ntokens`: target positions that are not padding, END included, START not.
"""

import logging

import sentencepiece
import yaml
from joeynmt.config import load_config, parse_global_args
from joeynmt.datasets import build_dataset
from joeynmt.prediction import predict, prepare
from joeynmt.training import TrainManager

from joeynmt_config import configuration
from protocol import Channel, TrainingWindows, worker_parser


def write_vocabulary(subwords, path):
    """Writes the pieces one a line; Joey NMT puts its four special tokens first."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(subwords))
    pieces = [model.id_to_piece(i) for i in range(model.vocab_size())]
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8")


class Decoder:
    """Translates with Joey NMT's `predict`: a file, in batches, in the order of the file."""

    def __init__(self, model, arguments, test_data, folder):
        self._model = model
        self._arguments = arguments
        self._test_data = test_data
        self._folder = folder

    def __call__(self, beam, texts):
        test = self._test_data
        source = self._folder / "sentences"
        file = source.with_suffix(f".{test.src_lang}")
        file.write_text("\n".join(texts) + "\n", encoding="utf-8")
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
        return predict(
            model=self._model,
            data=data,
            device=self._arguments.device,
            n_gpu=0,
            args=self._arguments.test._replace(beam_size=beam),
            autocast=self._arguments.autocast,
        )[2]


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
    options = worker_parser(__doc__).parse_args()

    channel = Channel()
    logging.basicConfig(level=logging.INFO)
    folder = options.work / f"joeynmt-{options.model}"
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, config_file = folder / "joint.vocab", folder / "joeynmt.yaml"
    write_vocabulary(options.subwords, vocabulary)
    config = configuration(
        options.model, folder, options.data, options.subwords, vocabulary, options.weights
    )
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
    trainer.windows = TrainingWindows(channel, Decoder(model, arguments, test_data, folder))
    trainer.train_and_validate(train_data=train_data, valid_data=dev_data)


if __name__ == "__main__":
    main()
