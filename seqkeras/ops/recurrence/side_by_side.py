"""Who keeps the cores busy: the halves of a batch, or layers that do not wait for each other.

A loop runs its batch in two halves side by side (see `loop`). Two layers that do not depend on each
other, such as the directions of a `Bidirectional`, already run side by side; halves would only make
their matmuls smaller, and took 3 to 16 % longer on two cores.
"""

import contextlib
import contextvars

_INSIDE = contextvars.ContextVar("side_by_side", default=False)


@contextlib.contextmanager
def side_by_side():
    """Recurrent layers that are called inside run at the same time as each other."""
    token = _INSIDE.set(True)
    try:
        yield
    finally:
        _INSIDE.reset(token)


def runs_alone():
    """Returns whether what is called now is outside of every `side_by_side`."""
    return not _INSIDE.get()
