"""TensorBoard's own code for reading what a run has written, for the tests of what writes it."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # TensorBoard's copy of html5lib
    from tensorboard.backend.application import TensorBoardWSGI
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from tensorboard.plugins.text.text_plugin import text_array_to_html
from werkzeug.test import Client

__all__ = ["projector_client", "read_events", "text_array_to_html"]


def read_events(run):
    """Returns a loaded `EventAccumulator` over a run's folder that keeps every point."""
    events = EventAccumulator(str(run), size_guidance={"tensors": 0})
    events.Reload()
    return events


def projector_client(log_dir):
    """Returns an HTTP client of the projector's server over a folder of runs."""
    runs = EventMultiplexer()
    runs.AddRunsFromDirectory(str(log_dir))
    runs.Reload()
    provider = MultiplexerDataProvider(runs, str(log_dir))
    plugin = ProjectorPlugin(TBContext(logdir=str(log_dir), data_provider=provider))
    return Client(TensorBoardWSGI([plugin]))
