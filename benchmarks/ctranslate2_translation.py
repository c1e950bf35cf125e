"""Our Transformer in CTranslate2 as a worker that only decodes.

Runs in an environment with CTranslate2 (`requirements-kerashub.txt`) and speaks `protocol.py`. The
weights are what `ctranslate2_convert.py` wrote, in float32. What is timed is sentencepiece's
tokenizer, `Translator.translate_batch`, and sentencepiece's detokenizer.

Its score is divided by the length, ours by GNMT's ((5 + length) / 6); both with exponent 1.
"""

import os

import ctranslate2
import sentencepiece

from protocol import answer_decodes, in_batches, worker_parser

MAX_TOKENS = 60  # of an output; also Joey NMT's limit


class Decoder:
    """Translates with a converted model.

    Args:
        folder: Path of what `ctranslate2_convert.py` wrote.
        at_once: How many batches it translates side by side.
    """

    def __init__(self, folder, at_once):
        self._at_once = at_once
        self._translator = ctranslate2.Translator(
            str(folder),
            compute_type="float32",
            inter_threads=at_once,
            intra_threads=int(os.environ.get("OMP_NUM_THREADS", 0)),
        )
        self._source, self._target = (
            sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.model"))
            for side in ("source", "target")
        )

    def __call__(self, beam, texts):
        def of_batch(batch):
            results = self._translator.translate_batch(
                self._source.encode(batch, out_type=str),
                beam_size=beam,
                length_penalty=1.0,
                max_decoding_length=MAX_TOKENS,
            )
            return self._target.decode([result.hypotheses[0] for result in results])

        return in_batches(of_batch, texts, self._at_once)


if __name__ == "__main__":
    options = worker_parser(__doc__, ("transformer",)).parse_args()
    answer_decodes(Decoder(options.weights, options.batches_at_once))
