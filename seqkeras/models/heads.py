"""Output layers by name: what `head` means in every model and pipeline."""

from seqkeras.heads.adaptive_softmax import AdaptiveSoftmaxHead
from seqkeras.heads.hierarchical_softmax import HierarchicalSoftmaxHead
from seqkeras.heads.sampled_softmax import SampledSoftmaxHead
from seqkeras.heads.softmax import SoftmaxHead

# What samples are drawn by: the counts of the words raised to this, as each paper has it.
_SAMPLED = {"importance": 1.0, "nce": 1.0, "negative": 0.75, "blackout": 0.4}

HEADS = ("softmax", *_SAMPLED, "balanced", "huffman", "adaptive")


def make_head(head, vocabulary_size, tied_to=None, counts=None, samples=1024, name="head"):
    """Returns a `VocabularyHead` from its name, or from a function `vocabulary_size -> head`.

    Args:
        head: "softmax"; "importance", "nce", "negative" or "blackout", which train on samples;
            "balanced" or "huffman", hierarchical ones; "adaptive"; or a function.
        vocabulary_size: int, V.
        tied_to: The embedding whose matrix a softmax or a sampled softmax shares, or None.
        counts: V counts of words, for samples and for "huffman"; None: Zipf's law.
        samples: int, how many words the sampled ones draw.
        name: str, of the layer.

    Raises:
        ValueError: for an unknown name, or a tie where there is no such matrix.
    """
    if callable(head):
        if tied_to is not None:
            raise ValueError("head: expected a name beside a tied output; a function ties itself.")
        return head(vocabulary_size)
    if head not in HEADS:
        raise ValueError(f"head: expected one of {list(HEADS)} or a function, got {head!r}.")
    if head == "softmax":
        return SoftmaxHead(vocabulary_size, tied_to=tied_to, name=name)
    if head in _SAMPLED:
        return SampledSoftmaxHead(
            vocabulary_size, head, samples, counts, _SAMPLED[head], tied_to=tied_to, name=name
        )
    if tied_to is not None:
        raise ValueError(
            f"head: {head!r} has no matrix of one vector for each word that could be the "
            "embedding's. Leave the output untied, or take a softmax."
        )
    if head == "adaptive":
        return AdaptiveSoftmaxHead(vocabulary_size, name=name)
    counts = counts if head == "huffman" else None
    return HierarchicalSoftmaxHead(vocabulary_size, head, counts, name=name)
