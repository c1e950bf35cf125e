"""A softmax over words that are known by their characters, Jozefowicz et al. 2016
(arXiv:1602.02410), section 3.2, "CNN softmax".

    s_w = h . f(characters of w)                 f: a network such as `CharacterCNN`
    s_w = h . (f(characters of w) + M c_w)       with a correction c_w of few dimensions, one a word

Words of one spelling have one score, and of near spellings near scores whatever they mean: the
correction is there for that.
"""

import keras
from keras import ops

from seqkeras.blocks.spelled_embedding import check_spellings
from seqkeras.heads.sampled_softmax import SampledSoftmaxHead
from seqkeras.ops.linear_crossentropy import vocabulary_logits


@keras.saving.register_keras_serializable(package="seqkeras")
class SpelledSoftmaxHead(SampledSoftmaxHead):
    """A softmax whose vectors are made of characters: its size does not depend on V.

    Training looks at the characters of the targets and of sampled words. Evaluation makes the
    vectors of all V words in every call: longer sequences are cheaper.

    Args:
        vocabulary_size: int > 0. V.
        spellings: Integers `(V, L)`, the characters of every word, which `seqkeras.data.spell`
            makes.
        network: Layer from characters `(M, L)` to vectors `(M, H)`, H the size of the inputs (or of
            the readout).
        correction_dim: int or None. Size of c_w; None: no correction.
        options: Further arguments of `SampledSoftmaxHead`; there is nothing to tie.

    Call arguments and returns: as in `VocabularyHead`.

    Raises:
        ValueError: as `SampledSoftmaxHead`; if there are not V spellings; for a tie; in `build` if
            the network's vectors are not of size H.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import CharacterCNN
    >>> spellings = [[0, 0], [1, 2], [2, 0]]
    >>> network = CharacterCNN(3, 4, {1: 6}, output_dim=8)
    >>> head = SpelledSoftmaxHead(3, spellings, network, correction_dim=2, samples=2)
    >>> head(np.ones((2, 5, 8))).shape
    TensorShape([2, 5, 3])
    """

    def __init__(self, vocabulary_size, spellings, network, correction_dim=None, **options):
        super().__init__(vocabulary_size, **options)
        if self.tied_to is not None:
            raise ValueError("tied_to: expected None, for these vectors are made of characters.")
        self.spellings = check_spellings(spellings, vocabulary_size)
        self.network = network
        self.correction_dim = correction_dim

    def build(self, inputs_shape, targets_shape=None):
        del targets_shape
        dim = self._build_readout(inputs_shape)
        if not self.network.built:
            self.network.build((None, self.spellings.shape[1]))
            self.network.built = True
        if self.network.units != dim:
            raise ValueError(
                f"{self.name}: expected a network whose vectors have the size {dim} of the inputs, "
                f"got {self.network.units}. Set its output_dim."
            )
        if self.correction_dim:
            self.corrections = self.add_weight(
                (self.vocabulary_size, self.correction_dim), "uniform", name="corrections"
            )
            self.correction_kernel = self.add_weight(
                (self.correction_dim, dim), "glorot_uniform", name="correction_kernel"
            )

    def _look_up(self, words):
        vectors = self.network(ops.take(ops.convert_to_tensor(self.spellings), words, axis=0))
        if self.correction_dim:
            corrections = ops.take(self.corrections, words, axis=0)
            vectors = vectors + ops.matmul(corrections, self.correction_kernel)
        return vectors, ops.zeros_like(vectors[:, 0])

    def _logits(self, hidden):
        vectors, _ = self._look_up(ops.arange(self.vocabulary_size))
        return self._scores_to_logits(vocabulary_logits(hidden, vectors))

    def get_config(self):
        config = {
            "spellings": self.spellings.tolist(),
            "network": keras.saving.serialize_keras_object(self.network),
            "correction_dim": self.correction_dim,
        }
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        network = keras.saving.deserialize_keras_object(config["network"])
        return super().from_config({**config, "network": network})
