"""An exported model in memory: the version to serve, warmed up, with its signatures."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

from seqkeras.serving.batching import MicroBatcher
from seqkeras.serving.rest import RequestError
from seqkeras.serving.signatures import is_batchable, read_signatures
from seqkeras.serving.versions import find_version
from seqkeras.serving.warmup import read_warmup


class Servable:
    """Loads the highest version of an exported model and answers requests, in batches if it can.

    One thread runs the model: TensorFlow spreads each run over the cores, and two at once would
    only share them.

    Args:
        model_dir: `DIRECTORY/NAME`, whose numbered subfolders are versions, or one version's folder
            `DIRECTORY/NAME/VERSION`.

    Raises:
        FileNotFoundError: there is no version in it.
    """

    def __init__(self, model_dir):
        self.path = find_version(model_dir)
        self.name, self.version = self.path.parent.name, int(self.path.name)
        self.signatures = read_signatures(self.path)
        self._functions = tf.saved_model.load(str(self.path)).signatures
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._batchers = {
            name: MicroBatcher(self._in_thread(name))
            for name, signature in self.signatures.items()
            if is_batchable(signature)
        }
        for request in read_warmup(self.path):
            self._run(request.signature, request.inputs)

    async def predict(self, signature, inputs):
        """Returns the outputs, a dict of arrays, of a signature for a dict of arrays.

        Raises:
            RequestError: the inputs have no rows, or differ in their number where each row is an
                example.
        """
        rows = {name: len(array) for name, array in inputs.items() if array.ndim}
        if 0 in rows.values():
            raise RequestError(f"expected at least one example, got {rows} rows")
        if signature not in self._batchers:
            return await self._in_thread(signature)(inputs)
        if len(set(rows.values())) > 1:
            raise RequestError(
                f"expected the inputs of '{signature}' to have equally many rows, got {rows}"
            )
        return await self._batchers[signature].submit(inputs)

    def close(self):
        """Ends the model's thread after the run it is in."""
        self._thread.shutdown()

    def _in_thread(self, signature):
        async def run(inputs):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._run, signature, inputs)

        return run

    def _run(self, signature, inputs):
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        return {name: t.numpy() for name, t in self._functions[signature](**tensors).items()}
