"""Who shares a run with whom, and that everyone gets their own rows back."""

import asyncio

import numpy as np
import pytest

from seqkeras.serving.batching import MicroBatcher


class Doubler:
    """Doubles numbers, notes the batches it saw, and refuses negative ones."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.batches = []

    async def __call__(self, inputs):
        self.batches.append(inputs["x"].tolist())
        await asyncio.sleep(self.seconds)
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return {"y": 2 * inputs["x"]}


def answers(run, requests, **options):
    """Submits all requests at once; returns their answers or errors."""

    async def submit_all():
        batcher = MicroBatcher(run, **options)
        calls = [batcher.submit({"x": np.array(request)}) for request in requests]
        return await asyncio.gather(*calls, return_exceptions=True)

    return [a if isinstance(a, Exception) else a["y"].tolist() for a in asyncio.run(submit_all())]


def test_concurrent_requests_share_a_run():
    run = Doubler()
    assert answers(run, [[1], [2, 3], [4]]) == [[2], [4, 6], [8]]
    assert run.batches == [[1, 2, 3, 4]]


def test_no_batch_is_larger_than_allowed_but_a_large_request_passes():
    run = Doubler()
    requests = [[1], [2], [3], [4, 5], [6, 7, 8, 9], [10]]
    assert answers(run, requests, max_rows=3) == [[2 * x for x in r] for r in requests]
    assert run.batches == [[1, 2, 3], [4, 5], [6, 7, 8, 9], [10]]


def test_a_bad_request_fails_alone():
    run = Doubler()
    good, bad, other = answers(run, [[1], [-2], [3]])
    assert (good, other) == ([2], [6])
    assert isinstance(bad, ValueError)
    assert run.batches == [[1, -2, 3], [1], [-2], [3]]


def test_requests_gather_while_a_batch_runs():
    run = Doubler(seconds=0.05)

    async def session():
        batcher = MicroBatcher(run, wait_seconds=0.0)
        first = asyncio.create_task(batcher.submit({"x": np.array([1])}))
        await asyncio.sleep(0.02)  # the first is under way
        later = [asyncio.create_task(batcher.submit({"x": np.array([x])})) for x in (2, 3)]
        return [a["y"].tolist() for a in await asyncio.gather(first, *later)]

    assert asyncio.run(session()) == [[2], [4], [6]]
    assert run.batches == [[1], [2, 3]]


def test_it_goes_on_after_a_pause_and_after_clients_that_hang_up():
    run = Doubler()

    async def session():
        batcher = MicroBatcher(run, wait_seconds=0.001)
        impatient = asyncio.create_task(batcher.submit({"x": np.array([1])}))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        await asyncio.sleep(0.01)
        return await batcher.submit({"x": np.array([5])})

    assert asyncio.run(session())["y"].tolist() == [10]
    assert run.batches == [[5]]  # nobody waits for [1] any more
