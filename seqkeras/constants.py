"""Token ids shared by every vocabulary, and the letters in which shapes are written.

Shapes in docstrings use one alphabet: `B` batch, `T` target or only time, `S` source or memory
length, `D` input features, `H` units, `N` heads, `V` vocabulary, `K` components or beams.
"""

PAD = 0  # fills a batch on the right; never a real token
START = 1  # the decoder's first input
END = 2  # the last real token of every sequence
UNK = 3  # whatever the vocabulary lacks

SPECIAL_TOKENS = (
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
)  # their pieces, at positions PAD, START, END, UNK
