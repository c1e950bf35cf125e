"""The PyTorch side of `language_model.py`: it answers to lines of JSON (`protocol.py`)."""

import functools

import torch

from protocol import answer_steps

RATE, CLIP_NORM = 20.0, 0.25


class LanguageModel(torch.nn.Module):
    """Embeddings, two LSTMs and a softmax over all words; returns logits and states."""

    def __init__(self, vocabulary, units):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, units)
        self.lstm = torch.nn.LSTM(units, units, num_layers=2, batch_first=True)
        self.output = torch.nn.Linear(units, vocabulary)

    def forward(self, x, states):
        y, states = self.lstm(self.embedding(x), states)
        return self.output(y), states


@functools.cache
def job(vocabulary, units, streams, length):
    """Returns a function that does one training step."""
    model = LanguageModel(vocabulary, units)
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    x, y = torch.randint(4, vocabulary, (2, streams, length))
    states = None

    def step():
        nonlocal states
        optimizer.zero_grad()
        logits, states = model(x, states)
        states = tuple(state.detach() for state in states)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()

    return step


if __name__ == "__main__":
    answer_steps(lambda sizes: job(*sizes))
