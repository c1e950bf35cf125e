"""The PyTorch side of `attention.py`: it answers to lines of JSON (`protocol.py`)."""

import functools

import torch

from protocol import answer_steps


class SelfAttention(torch.nn.Module):
    """Four maps of all features, and PyTorch's own kernel between them."""

    def __init__(self, features, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query, self.key, self.value, self.output = (
            torch.nn.Linear(features, features) for _ in range(4)
        )

    def forward(self, x):
        batch, length, features = x.shape

        def split(y):
            return y.view(batch, length, self.heads, features // self.heads).transpose(1, 2)

        context = torch.nn.functional.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(x)), split(self.value(x)), is_causal=self.causal
        )
        return self.output(context.transpose(1, 2).reshape(batch, length, features))


@functools.cache
def job(shape, causal):
    """Returns a function that does one training step."""
    batch, length, features, heads = shape
    layer = SelfAttention(features, heads, causal)
    x = torch.randn(batch, length, features, requires_grad=True)
    by_y = torch.randn(batch, length, features)
    wanted = [x, *layer.parameters()]
    return lambda: torch.autograd.grad(layer(x), wanted, by_y)


if __name__ == "__main__":
    answer_steps(lambda shape, causal: job(tuple(shape), causal))
