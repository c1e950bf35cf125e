"""The PyTorch side of `recurrent.py`: it answers to lines of JSON (`protocol.py`)."""

import functools

import torch

from protocol import answer_steps

LAYERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}


@functools.cache
def job(layer, shape, mode):
    """Returns a function that does one step."""
    batch, steps, features, units = shape
    kind = layer.removeprefix("bidirectional_")
    both = layer != kind
    made = LAYERS[kind](features, units, batch_first=True, bidirectional=both)
    x = torch.randn(batch, steps, features, requires_grad=mode == "training")
    by_y = torch.randn(batch, steps, 2 * units if both else units)
    wanted = [x, *made.parameters()]

    def train():
        y, _ = made(x)
        torch.autograd.grad(y, wanted, by_y)

    def infer():
        with torch.no_grad():
            made(x)

    return train if mode == "training" else infer


if __name__ == "__main__":
    answer_steps(lambda layer, shape, mode: job(layer, tuple(shape), mode))
