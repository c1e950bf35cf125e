"""One process at a time in a run's folder."""

import contextlib
import fcntl
import os
import pathlib


@contextlib.contextmanager
def run_lock(directory):
    """Holds the folder for this process; the system lets go when the process ends, however it ends.

    Two runs that write the same checkpoints would each resume from the other's. POSIX systems only.

    Args:
        directory: The folder; created if need be. Its file `.lock` names the holder and stays.

    Raises:
        RuntimeError: If another process holds it.
    """
    path = pathlib.Path(directory) / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise RuntimeError(
                f"Another process ({file.read().strip() or 'unknown'}) is training in "
                f"{path.parent}. Wait for it, stop it, or choose another run directory."
            ) from error
        file.truncate(0)
        file.write(f"pid {os.getpid()}\n")
        file.flush()
        yield
