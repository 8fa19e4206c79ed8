"""Many at once: Ctrl-C is heard whatever thread it comes to."""

import signal
import threading
import time

import pytest

from vmlab.executor import each


def test_ctrl_c_that_another_thread_takes_is_heard_soon():
    """As one that starts a process does, now and then: nobody wakes the main thread."""
    over, taken = threading.Event(), threading.Event()

    def run(task: int) -> None:
        time.sleep(0.2)  # the main thread waits by now
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        taken.set()
        over.wait(20)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(each(run, [1], 1, lambda task: None, over.set))
    assert taken.is_set()
    assert time.monotonic() - began < 10
