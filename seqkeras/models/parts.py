"""What decoding knows of a model: three functions, whatever the model is made of."""

from collections.abc import Callable
from typing import NamedTuple


class DecodingParts(NamedTuple):
    """A trained model as decoding sees it.

    Attributes:
        encode: source ids `(B, S)` -> `(memory, state)`: nested structures of tensors with leading
            B. The memory stays as it is; the state changes in every step.
        step: `(tokens (R,), state, memory, rows) -> (logits (R, V) float32, state)` for R
            hypotheses of the B sources, see `HypothesisRows`. With attention, `state["attention"]`
            `(R, S)` holds the weights of the last step.
        attend: `(source (B, S), target_in (B, T)) -> (log_probs (B, T, V), weights (B, T, S))`,
            float32, teacher forced in one pass; weights is None without attention.
        attends: Whether there is attention.
        target_embeddings: The variable `(V, D)` of the target tokens' vectors.
        heads: `(source, target_in) -> dict` of the weights of every layer and head: "encoder" `(B,
            L, N, S, S)`, "decoder" `(B, L, N, T, T)`, "cross" `(B, L, N, T, S)`. None without.
    """

    encode: Callable
    step: Callable
    attend: Callable
    attends: bool
    target_embeddings: object
    heads: Callable | None = None
