"""From a trained model to sequences: greedy search, sampling, beam search and ensembles.

Every search runs in the graph and knows of a model only its `step`: see `protocol`.
"""

from seqkeras.decoding.beam import BeamResult, beam_search
from seqkeras.decoding.ensemble import ensemble_state, ensemble_step
from seqkeras.decoding.greedy import greedy_search
from seqkeras.decoding.protocol import Hypotheses, Step
from seqkeras.decoding.sampling import sample

__all__ = [
    "BeamResult",
    "Hypotheses",
    "Step",
    "beam_search",
    "ensemble_state",
    "ensemble_step",
    "greedy_search",
    "sample",
]
