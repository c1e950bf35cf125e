"""Labelled images: an `.npz` file of arrays, and images as sequences of pixels.

The file has `x_train` and `x_test`, uint8 `(N, height, width)`, and `y_train` and `y_test`, integer
labels `(N,)`: what `keras.datasets` and many others call their arrays.

As a sequence an image is read row by row, a pixel a step (Le et al. 2015, arXiv:1504.00941, §4.3);
in the permuted form the pixels of all images are put in one random order, so that what was near is
far apart.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


class LabelledImages(NamedTuple):
    """Images and what they show.

    Attributes:
        images: uint8 array `(N, height, width)`.
        labels: int32 array `(N,)`.
    """

    images: np.ndarray
    labels: np.ndarray


def read_npz_images(path):
    """Returns `(train, test)`, two `LabelledImages`, of an `.npz` file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the array that is missing or of another shape or type.
    """
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in _ARRAYS if name not in file.files]
        if missing:
            raise ValueError(f"{path}: expected the arrays {_ARRAYS}, got {tuple(file.files)}")
        arrays = {name: file[name] for name in _ARRAYS}
    for split in ("train", "test"):
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if images.dtype != np.uint8 or images.ndim != 3:
            raise ValueError(
                f"{path}: expected x_{split} as uint8 (N, height, width), got {images.dtype} "
                f"{images.shape}"
            )
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"{path}: expected y_{split} as integers {images.shape[:1]}, got {labels.dtype} "
                f"{labels.shape}"
            )
    return tuple(
        LabelledImages(arrays[f"x_{split}"], arrays[f"y_{split}"].astype("int32"))
        for split in ("train", "test")
    )


def pixel_permutation(pixels, seed):
    """Returns int array `(pixels,)`, one order of the pixels, fixed by the seed.

    It is drawn from NumPy's legacy generator, the one whose numbers never change between releases:
    a model that was trained in one order is worthless in another.
    """
    return np.random.RandomState(seed).permutation(pixels)


def pixel_sequences(images, shrink=1, order=None):
    """Returns images as sequences of grey values in [0, 1], a pixel a step.

    Args:
        images: uint8 tensor `(B, height, width)`.
        shrink: int. Each square of shrink × shrink pixels becomes one, their mean; it must divide
            height and width.
        order: Int array `(T,)`, see `pixel_permutation`, or None for row by row.

    Returns:
        float32 tensor `(B, T, 1)`, T = height width / shrink².

    Example:

    >>> import numpy as np
    >>> image = np.array([[[0, 51], [102, 255]]], "uint8")
    >>> pixel_sequences(image)[0, :, 0].numpy()
    array([0. , 0.2, 0.4, 1. ], dtype=float32)
    >>> pixel_sequences(image, shrink=2)[0, :, 0].numpy()
    array([0.4], dtype=float32)
    """
    images = tf.convert_to_tensor(images)
    height, width = images.shape[1:]
    if height % shrink or width % shrink:
        raise ValueError(
            f"expected `shrink` to divide the image of {height} × {width} pixels, got {shrink}"
        )
    grey = tf.cast(images, tf.float32) / 255.0
    squares = tf.reshape(grey, [-1, height // shrink, shrink, width // shrink, shrink])
    sequences = tf.reshape(tf.reduce_mean(squares, [2, 4]), [-1, height * width // shrink**2])
    if order is not None:
        sequences = tf.gather(sequences, order, axis=1)
    return sequences[:, :, None]
