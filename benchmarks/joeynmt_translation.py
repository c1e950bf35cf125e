"""Joey NMT's models as a worker: recurrent with attention, and the Transformer.

Runs in Joey NMT's own environment (`requirements.txt`) and speaks `protocol.py`. What is timed is
Joey NMT's code: `TrainManager.train_and_validate` with its batches, clipping, optimizer and
schedule, and `predict` with its tokenizer, search and detokenizer. On `quit` its weights are saved
to WORK/joeynmt-MODEL/UPDATES.ckpt, from where `--weights` takes them, or from what
`joeynmt_convert.py` wrote: a weights.npz.

Tokens are `Batch.ntokens`: target positions that are not padding, END included, START not.
"""

import logging

import numpy as np
import sentencepiece
import torch
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


def set_weights(model, path, subwords):
    """Sets the weights of a Transformer to those of a file of `joeynmt_convert.py`."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(subwords))
    vocabulary = model.src_vocab
    rows = [pieces.piece_to_id(token) for token in vocabulary._itos]
    with np.load(path) as file:
        arrays = dict(file)
    sources, targets, expected = (
        arrays.pop(name) for name in ("sources", "targets", "log_probabilities")
    )
    for name, array in arrays.items():
        if len(array) == len(rows):
            arrays[name] = array[rows]
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.endswith(".pe.pe")]
    assert missing == unexpected == [], f"missing: {missing}, not known there: {unexpected}"

    model.eval()
    for source, target, log_probability in zip(sources, targets, expected, strict=True):
        found = score(model, pieces, str(source), str(target))
        difference = abs(found - log_probability)
        assert difference < 0.05, f"log-probabilities differ by {difference:.2g} nats"


def score(model, pieces, source, target):
    """Returns the log-probability of a translation in nats, END included."""

    def ids(text):
        return [model.src_vocab._stoi[piece] for piece in pieces.encode(text, out_type=str)]

    src = torch.tensor([[*ids(source), model.eos_index]])
    trg_input = torch.tensor([[model.bos_index, *ids(target)]])
    trg = torch.tensor([[*ids(target), model.eos_index]])
    with torch.no_grad():
        _, log_probs, _, _ = model(
            return_type="loss",
            src=src,
            trg_input=trg_input,
            trg=trg,
            src_mask=torch.ones_like(src, dtype=torch.bool)[:, None],
            src_length=torch.tensor([src.shape[1]]),
            trg_mask=torch.ones_like(trg, dtype=torch.bool)[:, None],
        )
    return float(log_probs.gather(-1, trg[..., None]).sum())


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
    carried = options.weights if options.weights and options.weights.suffix == ".npz" else None
    checkpoint = None if carried else options.weights
    config = configuration(
        options.model, folder, options.data, options.subwords, vocabulary, checkpoint
    )
    config_file.write_text(yaml.safe_dump(config), encoding="utf-8")

    arguments = parse_global_args(load_config(config_file), rank=0, mode="train")
    model, train_data, dev_data, test_data = prepare(arguments, rank=0, mode="train")
    if carried:
        set_weights(model, carried, options.subwords)
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
