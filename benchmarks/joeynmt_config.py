"""The configurations of Joey NMT's two models that `joeynmt_translation.py` trains.

Both see 10,000 joint subwords of one sentencepiece model, batches as Joey NMT makes them (it does
not sort by length), and its schedule, which warms up and then falls with the square root.
"""

from protocol import DECODING_BATCH

_RECURRENT_TRAINING = {
    "adam_betas": [0.9, 0.999],
    "clip_grad_norm": 1.0,
    "learning_rate": 0.001,
    "batch_size": 80,
    "batch_type": "sentence",
}
_RECURRENT = {
    "type": "recurrent",
    "rnn_type": "gru",
    "num_layers": 1,
    "embeddings": {"embedding_dim": 256, "scale": False, "dropout": 0.2},
    "hidden_size": 256,
    "dropout": 0.2,
}
_RECURRENT_MODEL = {
    "initializer": "xavier_uniform",
    "embed_initializer": "normal",
    "embed_init_weight": 0.1,
    "init_rnn_orthogonal": True,
    "tied_embeddings": False,
    "tied_softmax": False,
    "encoder": {**_RECURRENT, "bidirectional": True},
    "decoder": {
        **_RECURRENT,
        "hidden_dropout": 0.2,
        "input_feeding": True,
        "init_hidden": "bridge",
        "attention": "bahdanau",
    },
}

_TRANSFORMER_TRAINING = {
    "adam_betas": [0.9, 0.98],
    "learning_rate": 0.003,
    "label_smoothing": 0.1,
    "batch_size": 4096,  # positions of the larger side, padding included
    "batch_type": "token",
}
_TRANSFORMER = {
    "type": "transformer",
    "num_layers": 4,
    "num_heads": 4,
    "embeddings": {"embedding_dim": 128, "scale": True, "dropout": 0.3},
    "hidden_size": 128,
    "ff_size": 256,
    "dropout": 0.3,
    "layer_norm": "pre",
    "activation": "relu",
}
_TRANSFORMER_MODEL = {
    "initializer": "xavier_uniform",
    "embed_initializer": "xavier_uniform",
    "tied_embeddings": True,
    "tied_softmax": True,
    "encoder": _TRANSFORMER,
    "decoder": _TRANSFORMER,
}

MODELS = {
    "recurrent": (_RECURRENT_MODEL, _RECURRENT_TRAINING),
    "transformer": (_TRANSFORMER_MODEL, _TRANSFORMER_TRAINING),
}


def configuration(name, folder, data, subwords, vocabulary, checkpoint):
    """Returns Joey NMT's configuration, as a dict.

    Args:
        name: str, one of `MODELS`.
        folder: Path to write to.
        data: Path. Folder with train, val and test_2016_flickr in English and German.
        subwords: Path. The joint sentencepiece model.
        vocabulary: Path. Its pieces, one a line.
        checkpoint: Path of saved weights to start from, or None.
    """
    model, training = MODELS[name]
    language = {
        "max_length": 100,
        "level": "bpe",
        "voc_file": str(vocabulary),
        "tokenizer_type": "sentencepiece",
        "tokenizer_cfg": {"model_file": str(subwords), "pretokenizer": "none"},
    }
    return {
        "name": name,
        "joeynmt_version": "2.3.0",
        "model_dir": str(folder),
        "use_cuda": False,
        "random_seed": 42,
        "data": {
            "train": str(data / "train"),
            "dev": str(data / "val"),
            "test": str(data / "test_2016_flickr"),
            "dataset_type": "plain",
            "src": {"lang": "en", **language},
            "trg": {"lang": "de", **language},
        },
        "testing": {
            "beam_alpha": 1.0,
            "batch_size": DECODING_BATCH,
            "batch_type": "sentence",
            "max_output_length": 60,
            "eval_metrics": [],  # scoring is not part of what is timed
        },
        "training": {
            **training,
            "load_model": checkpoint and str(checkpoint),
            "optimizer": "adam",
            "scheduling": "warmupinversesquareroot",
            "learning_rate_min": 1.0e-9,
            "learning_rate_warmup": 400,
            "normalization": "tokens",
            "loss": "crossentropy",
            "epochs": 1000,  # until told to quit
            "validation_freq": 10**9,
            "logging_freq": 100,
            "early_stopping_metric": "loss",
        },
        "model": model,
    }
