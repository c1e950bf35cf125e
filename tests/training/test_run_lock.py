import os
import signal
import subprocess
import sys

import pytest

from seqkeras.training.run_lock import run_lock

HOLDER = """
import sys, time
from seqkeras.training.run_lock import run_lock
with run_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    folder = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        refused = pytest.raises(RuntimeError, match=f"pid {holder.pid}.*another run directory")
        with refused, run_lock(folder):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with run_lock(folder):
        assert (folder / ".lock").read_text() == f"pid {os.getpid()}\n"


def test_let_go_at_the_end(tmp_path):
    for _ in range(2):
        with run_lock(tmp_path):
            pass
