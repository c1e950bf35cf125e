"""Micro-batching: requests that arrive within a few milliseconds of each other share one run.

A decoder spends most of a step on overhead that does not grow with the batch, so eight sentences
together take little longer than one.
"""

import asyncio
from typing import NamedTuple

import numpy as np

MAX_ROWS = 32
WAIT_SECONDS = 0.005


class _Waiting(NamedTuple):
    inputs: dict
    rows: int
    answer: asyncio.Future


class MicroBatcher:
    """Collects concurrent requests into batches and hands every one its rows of the result.

    While a batch runs, later requests pile up and go together as soon as it ends: under load no one
    waits for the clock.

    Args:
        run: coroutine function, dict of arrays -> dict of arrays; all have one row per example.
        max_rows: int. A batch has at most so many rows, except one request that alone has more.
        wait_seconds: float. How long the first request of an idle batcher waits for company.
    """

    def __init__(self, run, max_rows=MAX_ROWS, wait_seconds=WAIT_SECONDS):
        self._run = run
        self._max_rows = max_rows
        self._wait_seconds = wait_seconds
        self._waiting = []
        self._worker = None

    async def submit(self, inputs):
        """Returns what `run` gives for `inputs`; raises what it raises for them."""
        rows = len(next(iter(inputs.values())))
        waiting = _Waiting(inputs, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await waiting.answer

    async def _work(self):
        await asyncio.sleep(self._wait_seconds)
        while self._waiting:
            await self._answer(self._next_batch())
        self._worker = None  # nothing was awaited since the check: no request can be missed

    def _next_batch(self):
        count, rows = 0, 0
        for waiting in self._waiting:
            rows += waiting.rows
            if count and rows > self._max_rows:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return [waiting for waiting in batch if not waiting.answer.done()]  # the others hung up

    async def _answer(self, batch):
        if not batch:
            return
        try:
            names = batch[0].inputs
            joined = {name: np.concatenate([w.inputs[name] for w in batch]) for name in names}
            outputs = await self._run(joined)
        except Exception as error:
            if len(batch) > 1:  # one bad request must not spoil the others
                for waiting in batch:
                    await self._answer([waiting])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        start = 0
        for waiting in batch:
            end = start + waiting.rows
            if not waiting.answer.done():
                waiting.answer.set_result({name: v[start:end] for name, v in outputs.items()})
            start = end
