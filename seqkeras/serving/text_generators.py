"""A language model as an export goes on with a text: a prompt in, its continuation out.

    text              string (B,)    what follows the prompt, up to END or to `max_tokens`
    log_probability   float32 (B,)   of it given the prompt, in nats, END included
    length            int32 (B,)     its tokens, END included

`seed`, an int >= 0 for each prompt, fixes the continuation, whatever else is in the batch.
"""

import tensorflow as tf

from seqkeras.constants import PAD
from seqkeras.decoding.sampling import sample
from seqkeras.models.language_model import LanguageModelSteps
from seqkeras.serving.text_scorers import check_tokenizer


class TextGenerator(tf.Module):
    """Goes on with texts by sampling from a recurrent language model.

    Args:
        model: What `seqkeras.models.language_model` returned, or the same after loading.
        tokenizer: `Tokenizer`.
        max_tokens: int, the most tokens of a continuation, END included.
        temperature, top_k, top_p: see `seqkeras.decoding.sampling.sample`.

    Raises:
        ValueError: if the tokenizer's vocabulary is not of size V.
    """

    def __init__(self, model, tokenizer, max_tokens=100, temperature=1.0, top_k=None, top_p=None):
        super().__init__()
        check_tokenizer(model, tokenizer)
        self.model = model
        self.tokenizer = tokenizer
        self.steps = LanguageModelSteps(model)
        self.max_tokens = max_tokens
        self.options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}

    def generate(self, text, seed):
        """Goes on with strings `(B,)`, seeds `(B,)`; returns what the module's docstring says."""
        ids = self.tokenizer.encode(text)
        found = sample(
            self.steps.step,
            self.steps.start(ids.to_tensor(PAD), ids.row_lengths()),
            tf.shape(text)[0],
            self.max_tokens,
            seed=seed,
            **self.options,
        )
        return {
            "text": self.tokenizer.decode(found.tokens),
            "log_probability": found.log_probs,
            "length": found.lengths,
        }

    def signatures(self):
        """Returns `{"generate": tf.function}`, with the inputs `text` and `seed`."""
        specs = [
            tf.TensorSpec([None], tf.string, name="text"),
            tf.TensorSpec([None], tf.int64, name="seed"),
        ]
        return {"generate": tf.function(self.generate, input_signature=specs, autograph=False)}
