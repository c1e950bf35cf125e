"""Hard attention: one position is read, not a mean of all; notes B 4.3.1, Xu et al. 2015
(arXiv:1502.03044), 4.1.

    a(x) = onehot(argmax_j x_j)          of equal scores the first wins

As a function of x this is constant almost everywhere, so there is no gradient to train x by. What
is trained instead is the expectation of the loss over choices p = softmax(x); its estimators are in
`seqkeras.ops.hard_attention`.
"""

import keras
from keras import ops

from seqkeras.attention.base import ScoredAttention
from seqkeras.ops.hard_attention import choose, gumbel_noise, log_probability, straight_through
from seqkeras.ops.masks import zero_masked

ESTIMATORS = ("straight_through", "gumbel", "reinforce")


@keras.saving.register_keras_serializable(package="seqkeras")
class HardAttention(ScoredAttention):
    """Every query reads the one value whose key scores highest.

    An exact retrieval: the context is a value, not a blend of values that none of them means. In
    inference it is the arg max; the estimators differ in training:

    - "straight_through" takes the arg max too, with the gradient of softmax(x / temperature):
      biased, but without noise.
    - "gumbel" samples softmax(x), with the gradient of softmax((x + g) / temperature), g the noise
      of the sample: biased, less so at low temperatures, where the variance grows.
    - "reinforce" samples softmax(x), and `ReinforceLoss` makes the gradient from the losses and the
      log-probabilities of the choices: unbiased, with a variance that its baseline lowers.

    Measured on two choices among three values that meet in one loss, against the sum over all nine
    outcomes; bias and a sample's standard deviation as multiples of the true gradient's length:

        straight_through                bias 1.44    deviation 0
        gumbel, temperature 1           bias 0.47    deviation 1.5
        gumbel, temperature 0.3         bias 0.16    deviation 3.4
        reinforce                       bias 0       deviation 3.6
        reinforce, mean as baseline     bias 0       deviation 2.2

    Args:
        attention: A layer such as `BahdanauAttention(64)`, of which the scores are taken.
        estimator: "straight_through", "gumbel" or "reinforce".
        temperature: float > 0, for the first two.
        seed: int or None, of the samples of the last two.

    Call arguments: see `ScoredAttention`, and
        training: If True, "gumbel" and "reinforce" sample.
        return_log_probs: If True, the log-probabilities of the choices under softmax(x) are
            returned too, float32 `(B, T)`; 0 for a query that is masked or may look nowhere.

    Returns:
        The context `(B, T, Dv)`; as a tuple, followed by the one-hot weights `(B, T, S)` and the
        log-probabilities `(B, T)`, if asked for.

    Masking: see `ScoredAttention`. What is masked is never chosen.

    Raises:
        ValueError: for an unknown estimator, an option that the chosen one does not read, or in
            training by "reinforce" if nobody asks for the log-probabilities: nothing would train
            the scores.

    Example:

    >>> import numpy as np
    >>> from seqkeras.layers import DotAttention
    >>> values = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    >>> print(np.array(HardAttention(DotAttention())(np.array([[[0.4, 0.6]]]), values)))
    [[[0. 1.]]]
    """

    def __init__(
        self, attention, estimator="straight_through", temperature=1.0, seed=None, **kwargs
    ):
        super().__init__(activation="hard", **kwargs)
        if not isinstance(attention, ScoredAttention) or isinstance(attention, HardAttention):
            raise ValueError(
                "attention: expected an attention layer of seqkeras.layers with a score, such as "
                f"DotAttention(), got {attention!r}."
            )
        if attention.activation != "softmax":
            raise ValueError(
                "attention: HardAttention takes the scores of a layer and not its weights, so "
                f"expected one without activation=, got {attention.activation!r}."
            )
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator: expected one of {ESTIMATORS}, got {estimator!r}.")
        if not temperature > 0.0:
            raise ValueError(f"temperature: expected a number > 0, got {temperature!r}.")
        if estimator == "reinforce" and temperature != 1.0:
            raise ValueError(
                'temperature: "reinforce" samples softmax(x) itself, so expected 1.0, got '
                f"{temperature!r}. Scale the scores instead."
            )
        if estimator == "straight_through" and seed is not None:
            raise ValueError(
                f'seed: "straight_through" draws nothing, so expected None, got {seed!r}.'
            )
        self.attention = attention
        self.estimator = estimator
        self.temperature = temperature
        self.seed = seed
        if estimator != "straight_through":
            self.seed_generator = keras.random.SeedGenerator(seed)

    def build_score(self, query_dim, key_dim):
        if not self.attention.built:
            self.attention.build((None, None, query_dim), (None, None, key_dim))

    def project_keys(self, key):
        return self.attention.project_keys(key)

    def score(self, query, keys):
        return self.attention.score(query, keys)

    def draw_noise(self, shape, training=False):
        """Returns Gumbel noise for scores of that shape `(B, T, S)`, or None for the arg max."""
        if not training or self.estimator == "straight_through":
            return None
        return gumbel_noise(shape, self.seed_generator)

    def choose(self, query, memory, attention_mask=None, noise=None):
        """Returns `(context (B, T, Dv), weights (B, T, S), log-probabilities (B, T))`."""
        mask = self.visible(memory, attention_mask)
        scores = self.score(query, memory.keys)
        if self.estimator == "reinforce":
            chosen = choose(scores, mask, noise)
        else:
            chosen = straight_through(scores, mask, noise, self.temperature)
        log_probs = log_probability(scores, ops.stop_gradient(chosen), mask)
        weights = ops.cast(chosen, scores.dtype)
        return ops.matmul(weights, memory.values), weights, log_probs

    def attend(self, query, memory, attention_mask=None, noise=None):
        """Returns `(context, weights)`; without the noise of `draw_noise` the arg max."""
        return self.choose(query, memory, attention_mask, noise)[:2]

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
        return_log_probs=False,
    ):
        if training and self.estimator == "reinforce" and not return_log_probs:
            raise ValueError(
                'HardAttention: with estimator="reinforce" only the log-probabilities train the '
                "scores. Call it with return_log_probs=True and hand them to ReinforceLoss."
            )
        shape = (ops.shape(query)[0], ops.shape(query)[1], ops.shape(value)[1])
        masks = (query_mask, value_mask, key_mask, attention_mask)
        query, memory, attention_mask = self.clean(query, value, key, *masks, use_causal_mask)
        noise = self.draw_noise(shape, training)
        context, weights, log_probs = self.choose(query, memory, attention_mask, noise)
        outputs = [zero_masked(context, query_mask)]
        if return_attention_scores:
            outputs.append(weights)
        if return_log_probs:
            asked = True if query_mask is None else query_mask
            outputs.append(ops.where(asked, log_probs, 0.0))
        return tuple(outputs) if len(outputs) > 1 else outputs[0]

    def get_config(self):
        config = super().get_config()
        del config["activation"]  # always "hard"
        return {
            **config,
            "attention": keras.saving.serialize_keras_object(self.attention),
            "estimator": self.estimator,
            "temperature": self.temperature,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        attention = config.pop("attention")
        if isinstance(attention, dict):
            attention = keras.saving.deserialize_keras_object(
                attention, custom_objects=custom_objects
            )
        return cls(attention, **config)
