"""What every pipeline does before it trains."""

import keras
import tensorflow as tf

from pipelines.run_directory import RunDirectory


def seed_run(config):
    """Sets the seed of all that is drawn, and determinism if the config asks for it."""
    keras.utils.set_random_seed(config.seed)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()


def take_weights(config, model):
    """Gives the model the weights of the run that a new one starts from, if there is one."""
    if config.init_from and not config.resume:
        start = keras.models.load_model(RunDirectory(config.init_from).model)
        model.set_weights(start.get_weights())
