"""Trained models with their tokenizers: strings in, strings out, all of it in the graph.

    texts -> source ids + END -> encoder -> beam search over the step protocol -> ids -> texts

Several models of one vocabulary are an ensemble: the mean of their probabilities at every step.
Everything is TensorFlow operations on tensors, so the same methods serve Python and the export.
"""

import dataclasses

import tensorflow as tf

from seqkeras.constants import END, PAD, START
from seqkeras.decoding.beam import beam_search
from seqkeras.decoding.ensemble import ensemble_state, ensemble_step


@dataclasses.dataclass(frozen=True)
class BeamSettings:
    """How a `Translator` searches.

    Attributes:
        beam_size: K, hypotheses kept for each example; 1 is greedy search.
        n_best: How many of them `n_best` returns, at most K.
        length_penalty: alpha >= 0; 0 compares hypotheses by log-probability.
        coverage_penalty: beta >= 0; above 0 the models must have attention.
        no_repeat_ngram: n; above 0 no n-gram of tokens occurs twice in an output.
        early_stopping: If True, a search stops when no hypothesis alive scores above those asked
            for as it is; if False, when none could in the end.
        length_factor, length_offset: An output has at most factor * S + offset tokens, END
            included, for a source of S tokens. Of the example's own source, so never of its batch.
        max_characters: Longer sources are cut there. A subword tokenizer's time grows with the
            square of a word's length, so without a bound one request of a few megabytes without a
            blank would block a server.
    """

    beam_size: int = 5
    n_best: int = 5
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    no_repeat_ngram: int = 0
    early_stopping: bool = False
    length_factor: float = 2.0
    length_offset: int = 10
    max_characters: int = 5000


class Translator(tf.Module):
    """Translates strings with one model or an ensemble.

    Args:
        parts: List of `DecodingParts`, one for each model (`seqkeras.models.decoding_parts`).
        source_tokenizer, target_tokenizer: `Tokenizer`s of the models' vocabularies.
        settings: `BeamSettings`.

    Raises:
        ValueError: if there is no model, `n_best` is not in 1..`beam_size`, or `max_characters` is
            below 1.

    A blank text has no translation to find: its texts are "" with score 0, in every batch.
    """

    def __init__(self, parts, source_tokenizer, target_tokenizer, settings=None):
        super().__init__(name="translator")
        settings = settings or BeamSettings()
        if not parts:
            raise ValueError("Translator: expected the parts of at least one model, got none.")
        if not 1 <= settings.n_best <= settings.beam_size:
            raise ValueError(
                f"Translator: expected n_best in 1..beam_size={settings.beam_size}, got "
                f"{settings.n_best}."
            )
        if settings.max_characters < 1:
            raise ValueError(
                f"Translator: expected max_characters of at least 1, got {settings.max_characters}."
            )
        self.parts = list(parts)
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.settings = settings

    @property
    def attends(self):
        """Whether `align` has weights to show: whether every model has attention."""
        return all(part.attends for part in self.parts)

    @property
    def has_heads(self):
        """Whether `look` has weights to show: whether the first model is a Transformer."""
        return self.parts[0].heads is not None

    def translate(self, text):
        """Strings `(B,)` to a dict: the best "text" `(B,)` and its "score" `(B,)`."""
        best = self._search(text, 1)
        return {"text": best["text"][:, 0], "score": best["score"][:, 0]}

    def n_best(self, text):
        """Strings `(B,)` to a dict of "text" and "score" `(B, N)`, best first."""
        return self._search(text, self.settings.n_best)

    def score(self, source, target):
        """Strings `(B,)`, `(B,)` to a dict: what the models think of given translations.

        Returns:
            A dict: "log_probability" `(B,)` of the target and its END, in nats, and "tokens"
            `(B,)`, how many tokens that are.
        """
        target_ids = _ids(self.target_tokenizer, self._cut(target))
        log_probs, _ = self._forced(self._source_ids(source), target_ids)
        gold = tf.gather(log_probs, target_ids, batch_dims=2)  # (B, T)
        real = target_ids != PAD
        return {
            "log_probability": tf.reduce_sum(tf.where(real, gold, 0.0), axis=1),
            "tokens": tf.reduce_sum(tf.cast(real, tf.int32), axis=1),
        }

    def align(self, text):
        """Strings `(B,)` to the best "text" and what it looked at.

        Returns:
            A dict: "text" `(B,)`, "source_tokens" `(B, S)` and "target_tokens" `(B, T)`, END
            included and "" where there is none, and "attention" `(B, T, S)`, the weights of every
            target token over the source.

        Raises:
            ValueError: if a model has no attention.
        """
        if not self.attends:
            raise ValueError("align: expected models with attention, got one without.")
        source_ids, target_ids, best = self._best(text)
        _, weights = self._forced(source_ids, target_ids)
        real = tf.cast(target_ids != PAD, weights.dtype)
        return {**best, "attention": weights * real[:, :, None]}

    def look(self, text):
        """Strings `(B,)` to the best "text" and the weights of every layer and head.

        Returns:
            A dict: "text", "source_tokens" and "target_tokens" as in `align`, and of the first
            model "encoder" `(B, L, N, S, S)`, "decoder" `(B, L, N, T, T)` and "cross" `(B, L, N, T,
            S)`. Query t of the decoder is the token before target token t.

        Raises:
            ValueError: if the first model has no heads.
        """
        if not self.has_heads:
            raise ValueError("look: expected a Transformer, got a model without heads.")
        source_ids, target_ids, best = self._best(text)
        return {**best, **self.parts[0].heads(source_ids, _target_in(target_ids))}

    def _best(self, text):
        """Returns the ids of sources and best translations, and a dict of both as strings."""
        source_ids = self._source_ids(text)
        beam = self._beam(source_ids, 1)
        target_ids = beam.tokens[:, 0, : tf.reduce_max(beam.lengths)]  # (B, T)
        best = {
            "text": tf.where(_blank(source_ids), "", self.target_tokenizer.decode(target_ids)),
            "source_tokens": _labels(self.source_tokenizer, source_ids),
            "target_tokens": _labels(self.target_tokenizer, target_ids),
        }
        return source_ids, target_ids, best

    def _search(self, text, n_best):
        source_ids = self._source_ids(text)
        beam = self._beam(source_ids, n_best)
        shape = tf.shape(beam.scores)
        flat = tf.reshape(beam.tokens, [shape[0] * shape[1], -1])
        texts = tf.reshape(self.target_tokenizer.decode(flat), shape)
        blank = _blank(source_ids)[:, None]
        return {"text": tf.where(blank, "", texts), "score": tf.where(blank, 0.0, beam.scores)}

    def _source_ids(self, text):
        return _ids(self.source_tokenizer, self._cut(text))

    def _cut(self, text):
        return tf.strings.substr(text, 0, self.settings.max_characters, unit="UTF8_CHAR")

    def _beam(self, source_ids, n_best):
        settings = self.settings
        memories, states = zip(*(part.encode(source_ids) for part in self.parts), strict=True)
        steps = [part.step for part in self.parts]
        single = len(steps) == 1
        lengths = tf.reduce_sum(tf.cast(source_ids != PAD, tf.float32), axis=1)
        limits = tf.cast(settings.length_factor * lengths, tf.int32) + settings.length_offset
        return beam_search(
            steps[0] if single else ensemble_step(steps),
            states[0] if single else ensemble_state(states),
            tf.shape(source_ids)[0],
            settings.beam_size,
            limits,
            memory=memories[0] if single else list(memories),
            n_best=n_best,
            length_penalty=settings.length_penalty,
            coverage_penalty=settings.coverage_penalty,
            source_mask=source_ids != PAD,
            no_repeat_ngram=settings.no_repeat_ngram,
            early_stopping=settings.early_stopping,
        )

    def _forced(self, source_ids, target_ids):
        """Teacher-forced `(log_probs (B, T, V), weights (B, T, S) or None)`, the models' mean."""
        results = [part.attend(source_ids, _target_in(target_ids)) for part in self.parts]
        log_probs = tf.stack([log_probs for log_probs, _ in results])
        mean = tf.reduce_logsumexp(log_probs, axis=0) - tf.math.log(float(len(results)))
        if not self.attends:
            return mean, None
        return mean, tf.add_n([weights for _, weights in results]) / len(results)


def _ids(tokenizer, text):
    """Strings `(B,)` to ids `(B, S)`, END after each row, PAD on the right; S >= 1 if B = 0 too."""
    rows = tokenizer.encode(text)
    ends = tf.fill([rows.nrows(), 1], END)
    ids = tf.concat([rows, ends], axis=1).to_tensor(PAD)
    return tf.pad(ids, [[0, 0], [0, tf.cast(rows.nrows() == 0, tf.int32)]], constant_values=PAD)


def _target_in(target_ids):
    """Returns what a decoder reads to write target ids `(B, T)`: START, then all but the last."""
    start = tf.fill([tf.shape(target_ids)[0], 1], START)
    return tf.concat([start, target_ids[:, :-1]], axis=1)


def _blank(source_ids):
    """`(B,)`: True where the source has no token but END."""
    return source_ids[:, 0] == END


def _labels(tokenizer, ids):
    return tf.where(ids == PAD, "", tokenizer.pieces(ids))
