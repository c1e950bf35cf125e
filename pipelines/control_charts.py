"""Control charts, the task that needs no data: what is happening to a process, from its readings?

A quality engineer watches a measured value over time. As long as the process is in control its
readings scatter about their target; a cycle, a trend or a shift has a cause that should be found.
The six patterns and their constants are those of Alcock & Manolopoulos 1999 ("Time-series
similarity queries employing a feature-based approach"), which the set Synthetic Control of the UCR
archive was made by. With r_t uniform in [-3, 3]:

    normal          y_t = 30 + 2 r_t                          t = 1..T
    cyclic          y_t = 30 + 2 r_t + a sin(2 pi t / P)      a, P uniform in [10, 15]
    increasing      y_t = 30 + 2 r_t + g t                    g uniform in [0.2, 0.5]
    decreasing      y_t = 30 + 2 r_t - g t
    upward_shift    y_t = 30 + 2 r_t + x [t >= s]             x uniform in [7.5, 20]
    downward_shift  y_t = 30 + 2 r_t - x [t >= s]             s uniform in [T / 3, 2 T / 3]

Theirs all have T = 60. Here T is uniform in [40, 80], and longer in a second test set, [80, 120]:
charts are read before they are full, and after.
"""

import numpy as np

PATTERNS = ("normal", "cyclic", "increasing", "decreasing", "upward_shift", "downward_shift")
LENGTHS, LONGER = (40, 80), (80, 120)


def make_control_charts(seed, train_size=900, test_size=600):
    """Generates the task; the same seed gives the same examples.

    Args:
        seed: int, not negative.
        train_size, test_size: int. Charts in the training set, and in each of the two test sets;
            the patterns take turns.

    Returns:
        `{"train", "test", "longer"}`: lists of `(series (T, 1) float32, label)`.

    Example:

    >>> charts = make_control_charts(seed=1, train_size=6, test_size=6)
    >>> [label for _, label in charts["test"]] == list(PATTERNS)
    True
    """
    sizes = {"train": train_size, "test": test_size, "longer": test_size}
    splits = {}
    for number, (name, size) in enumerate(sizes.items()):
        rng = np.random.default_rng([seed, number])  # one set's size does not move another's draws
        shortest, longest = LONGER if name == "longer" else LENGTHS
        labels = [PATTERNS[i % len(PATTERNS)] for i in range(size)]
        splits[name] = [
            (control_chart(rng, label, rng.integers(shortest, longest + 1)), label)
            for label in labels
        ]
    return splits


def control_chart(rng, pattern, length):
    """Returns one chart, float32 `(length, 1)`.

    Args:
        rng: `numpy.random.Generator`.
        pattern: One of `PATTERNS`.
        length: int, T.
    """
    t = np.arange(1, length + 1)
    y = 30 + 2 * rng.uniform(-3, 3, length)
    sign = -1 if pattern in ("decreasing", "downward_shift") else 1
    if pattern == "cyclic":
        y += rng.uniform(10, 15) * np.sin(2 * np.pi * t / rng.uniform(10, 15))
    elif pattern in ("increasing", "decreasing"):
        y += sign * rng.uniform(0.2, 0.5) * t
    elif pattern in ("upward_shift", "downward_shift"):
        y += sign * rng.uniform(7.5, 20) * (t >= rng.uniform(length / 3, 2 * length / 3))
    elif pattern != "normal":
        raise ValueError(f"expected a pattern out of {PATTERNS}, got {pattern!r}")
    return y.astype(np.float32)[:, None]
