"""The decoder of p(y | x) = prod_l p(y_l | y_{<l}, x); notes B (27)-(29), notes A "seq2seq".

It has the same weights for both of its uses:

    teacher forcing:  the whole target at once; what need not wait for a step is outside the loop
    decoding:         one step at a time: `start`, `prepare`, `step`
"""

import keras
from keras import ops, tree

from seqkeras.blocks.dropout import Dropout
from seqkeras.cells.attention_cell import AttentionCell
from seqkeras.cells.base import drop_inputs, is_split
from seqkeras.cells.rnn import RNN
from seqkeras.constants import START
from seqkeras.ops.scan import scan

FIRST_TOKENS = ("start", "state")


@keras.saving.register_keras_serializable(package="seqkeras")
class AutoregressiveDecoder(keras.Layer):
    """Target tokens and encoder states to next-token logits, with or without a memory.

    Args:
        embedding: Layer from ids to vectors, such as `keras.layers.Embedding(V, D)`.
        cell: A recurrent cell, a stack, or an `AttentionCell(..., return_attention_scores=True)`.
        head: Layer from outputs to logits, such as `SoftmaxHead(V)`.
        dropout: Rate in [0, 1) on the embedded tokens.
        first_token: "start": y_1 comes after a step on the START token. "state": y_1 comes from the
            initial state alone (notes B section 3), and START changes no state.
        scheduled_sampling: If True, training feeds the model's own last prediction (its arg-max)
            instead of the target with probability `sampling_rate`, a non-trainable weight that
            starts at 0 (Bengio et al. 2015, arXiv:1506.03099). No gradient passes through the
            choice. The head then runs in the loop.
        seed: int or None, of the dropout and the choices.

    Call arguments:
        tokens: Int tensor `(B, T)`: START, then the target without its END.
        initial_state: List of tensors, the cell's states in flat order (input feeding starts at 0).
        memory: Float tensor `(B, S, Dm)` for an attention cell, else None.
        memory_mask: Boolean `(B, S)` or None.
        training: If True, dropout and scheduled sampling are on.
        return_attention_scores: If True, returns `(logits, weights)`.

    Returns:
        Logits `(B, T, V)` of the token after each; weights `(B, T, S)`.

    Masking: PAD on the right of `tokens` influences no step before it; weigh the loss by the
        target.

    Raises:
        ValueError: for an unknown `first_token`, a cell of another library, an attention cell that
            keeps its weights to itself, or a memory without an attention cell.
    """

    def __init__(
        self,
        embedding,
        cell,
        head,
        dropout=0.0,
        first_token="start",
        scheduled_sampling=False,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if first_token not in FIRST_TOKENS:
            raise ValueError(f"first_token: expected one of {FIRST_TOKENS}, got {first_token!r}.")
        self.attends = isinstance(cell, AttentionCell)
        if self.attends and not cell.return_attention_scores:
            raise ValueError(
                "AutoregressiveDecoder: expected AttentionCell(..., return_attention_scores=True), "
                "got one without: the decoder needs the weights for alignments."
            )
        self.embedding = embedding
        self.head = head
        self.rnn = RNN(cell, return_sequences=True, dtype=self.dtype_policy, name="rnn")
        if not is_split(self.cell):
            raise ValueError(
                "AutoregressiveDecoder: expected a cell of seqkeras.layers, or one with `project`, "
                f"`step` and `draw_noise` as RecurrentCell has them, got {self.cell!r}."
            )
        self.dropout = Dropout(dropout, seed=seed, dtype=self.dtype_policy)
        self.first_token = first_token
        self.scheduled_sampling = scheduled_sampling
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def cell(self):
        return self.rnn.cell

    def build(self, tokens_shape, initial_state_shape=None, memory_shape=None):
        self._check_memory(memory_shape is not None)
        if not self.embedding.built:
            self.embedding.build(tokens_shape)
        embedded = (*tokens_shape, self.embedding.compute_output_shape(tokens_shape)[-1])
        if not self.rnn.built:
            self.rnn.build(embedded, constants_shape=memory_shape)
        output = self.cell.output_size
        output = output[0] if self.attends else output
        if not self.head.built:
            self.head.build((*tokens_shape, output))
        if self.scheduled_sampling:
            self.sampling_rate = self.add_weight(
                (), "zeros", "float32", trainable=False, autocast=False, name="sampling_rate"
            )

    def call(
        self,
        tokens,
        initial_state,
        memory=None,
        memory_mask=None,
        training=False,
        return_attention_scores=False,
    ):
        self._check_memory(memory is not None)
        if training and self.scheduled_sampling:
            outputs = self._scheduled(tokens, initial_state, memory, memory_mask)
        else:
            outputs = self._teacher_forced(tokens, initial_state, memory, memory_mask, training)
        y, weights = outputs if self.attends else (outputs, None)
        logits = self.head(y, training=training)
        return (logits, weights) if return_attention_scores else logits

    def _check_memory(self, given):
        if self.attends and not given:
            raise ValueError(
                "AutoregressiveDecoder: expected a memory for the attention cell, got none."
            )
        if given and not self.attends:
            raise ValueError(
                f"AutoregressiveDecoder: expected no memory: {type(self.cell).__name__} does not "
                "attend. Wrap it in an AttentionCell."
            )

    def _teacher_forced(self, tokens, initial_state, memory, memory_mask, training):
        states = self._cell_states(initial_state, self.compute_dtype)
        embedded = self.dropout(self.embedding(tokens), training=training)
        mask = None if self.first_token == "start" else ops.not_equal(tokens, START)
        constants = {}
        if self.attends:
            constants = {"constants": memory, "constants_mask": memory_mask}
        outputs = self.rnn(
            embedded, initial_state=states, mask=mask, training=training, **constants
        )
        if self.first_token == "start":
            return outputs
        first = self._read(states, self.prepare(memory, memory_mask))
        is_start = ops.expand_dims(ops.equal(tokens, START), -1)
        return tree.map_structure(
            lambda y_0, y: ops.where(is_start, ops.expand_dims(y_0, 1), y), first, outputs
        )

    def _scheduled(self, tokens, initial_state, memory, memory_mask):
        batch_size, length = ops.shape(tokens)[0], ops.shape(tokens)[1]
        context = self.prepare(memory, memory_mask)
        noise = self.cell.draw_noise(batch_size, True)
        coins = keras.random.uniform((length, batch_size), seed=self.seed_generator)
        dim = self.embedding.compute_output_shape((1, 1))[-1]
        keep = self.dropout(ops.ones((length, batch_size, dim), self.compute_dtype), training=True)
        keep = drop_inputs(keep, self.cell.draw_input_mask(batch_size, dim, True))

        def step(x, carried):
            target, coin, keep_t = x
            states, prediction = carried
            own = ops.logical_and(coin < self.sampling_rate, ops.not_equal(target, START))
            token = ops.where(own, prediction, target)
            output, states = self._advance(token, states, noise, context, keep_t)
            y = output[0] if self.attends else output
            prediction = ops.argmax(self.head(y, training=False), axis=-1)
            return output, (states, ops.cast(prediction, tokens.dtype))

        states = self._cell_states(initial_state, self.compute_dtype)
        carried = (states, ops.zeros_like(tokens[:, 0]))
        inputs = (ops.transpose(tokens), coins, keep)
        outputs, _ = scan(step, carried, inputs)
        return tree.map_structure(lambda y: ops.transpose(y, (1, 0, 2)), outputs)

    def _advance(self, token, states, noise, context, keep=None, rows=None):
        """One step of the cell on tokens `(B,)`: `(output, states)`."""
        embedded = ops.cast(self.embedding(token), tree.flatten(states)[0].dtype)
        z_t = self.cell.project(embedded if keep is None else embedded * keep)
        extra = (context, rows) if self.attends else ()
        output, new_states = self.cell.step(z_t, states, noise, *extra)
        if self.first_token == "start":
            return output, new_states
        is_start = ops.expand_dims(ops.equal(token, START), -1)

        def choose(old, new):
            return ops.where(is_start, old, new)

        output = tree.map_structure(choose, self._read(states, context, rows), output)
        return output, tree.map_structure(choose, states, new_states)

    def _read(self, states, context, rows=None):
        """The output that states give without a step: their h, read through the attention."""
        if self.attends:
            return self.cell.read(states, context, rows)
        return tree.flatten(states[-1] if hasattr(self.cell, "cells") else states)[0]

    def _cell_states(self, initial_state, dtype):
        """The flat list of given states in the structure of the cell's, feeding started at 0."""
        flat = tree.flatten(initial_state)
        if self.attends and self.cell.input_feeding:
            blank = self.cell.get_initial_state(batch_size=ops.shape(flat[0])[0])[-1]
            flat.append(blank)
        flat = [ops.cast(state, dtype) for state in flat]
        return tree.pack_sequence_as(self.rnn.state_size, flat)

    # What decoding needs: state that changes (`start`, `step`), memory that does not (`prepare`).
    # Outside of `call` Keras casts no variables, so under mixed precision the steps are float32.

    def prepare(self, memory=None, memory_mask=None):
        """Returns what every step needs of the memory, worked out once; () without attention."""
        return self.cell.prepare(memory, memory_mask) if self.attends else ()

    def start(self, initial_state, memory_mask=None):
        """Returns the decoding state before the first step: a dict of tensors with leading B."""
        state = {"cell": self._cell_states(initial_state, self.variable_dtype)}
        if self.attends:
            state["attention"] = ops.zeros_like(ops.cast(memory_mask, "float32"))
        return state

    def step(self, tokens, state, context, rows=None):
        """Returns `(logits (R, V), state)` after tokens `(R,)`.

        Args:
            tokens: Integer tensor `(R,)`.
            state: What `start` or this returned.
            context: What `prepare` returned, of B examples.
            rows: `HypothesisRows`, which hypotheses of them ask; None: one of each.
        """
        output, states = self._advance(tokens, state["cell"], None, context, rows=rows)
        new_state = {"cell": states}
        if self.attends:
            output, weights = output
            new_state["attention"] = ops.cast(weights, "float32")
        return self.head(output, training=False), new_state

    def get_config(self):
        config = {
            "dropout": self.dropout.rate,
            "first_token": self.first_token,
            "scheduled_sampling": self.scheduled_sampling,
            "seed": self.seed,
        }
        for name in ("embedding", "cell", "head"):
            config[name] = keras.saving.serialize_keras_object(getattr(self, name))
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        def made(part):
            return keras.saving.deserialize_keras_object(part, custom_objects=custom_objects)

        embedding, head = made(config["embedding"]), config["head"]
        tied_to = head["config"].get("tied_to")
        if tied_to is not None and tied_to["config"]["name"] == embedding.name:
            head = {**head, "config": {**head["config"], "tied_to": embedding}}
        parts = {"embedding": embedding, "cell": made(config["cell"]), "head": made(head)}
        return cls(**{**config, **parts})
