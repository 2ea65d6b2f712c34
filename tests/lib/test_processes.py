"""Processes of one's own: what they answer, say and raise, and that they end with who began them."""

import os
import signal
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.errors import LostProcessError
from lib.processes import OwnProcess
from tests.processes import REPOSITORY, alive, children, wait_for


class Listening(OwnProcess):
    def __init__(self, **environment):
        super().__init__("tests.answering", "counts", environment)
        self.said = []

    def heard(self, kind, value):
        self.said.append((kind, value))


@pytest.fixture
def process():
    one = Listening(A_VARIABLE="given")
    yield one
    one.end()


def test_it_answers_call_after_call_and_says_things_meanwhile(process):
    assert process.call("twice", 21) == 42
    assert process.call("count", 3) == 3
    assert process.said == [("counted", 0), ("counted", 1), ("counted", 2)]
    assert process.call("variable", "A_VARIABLE") == "given"
    assert process.lives()


def test_what_it_raises_is_raised_here_with_the_traceback_of_there(process):
    with pytest.raises(ValueError, match="a bad value") as raised:
        process.call("fail")
    assert str(raised.value) == "a bad value"
    assert "in fail" in "".join(traceback.format_exception(raised.value))
    with pytest.raises(RuntimeError, match="TwoArgumentsError: 7: odd") as raised:
        process.call("fail_strangely")
    assert "in fail_strangely" in "".join(traceback.format_exception(raised.value))
    assert process.call("twice", 1) == 2


def test_one_that_is_killed_is_an_error_that_says_what_it_did(process):
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(process.call, "wait", 60)
        time.sleep(0.2)
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(LostProcessError, match=r"a process that counts ended unexpectedly \(killed by signal 9\)"):
            waiting.result()
    assert not process.lives()


def test_an_interrupted_call_leaves_no_answer_that_the_next_takes_for_its_own(process, monkeypatch):
    def interrupt(kind, value):
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "heard", interrupt)
    with pytest.raises(KeyboardInterrupt):
        process.call("count", 3)
    assert not process.lives()
    with pytest.raises(LostProcessError):
        process.call("twice", 1)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_who_began_it_in_the_middle_of_a_call(sent):
    begin = "from lib.processes import OwnProcess; OwnProcess('tests.answering', 'waits').call('wait', 600)"
    parent = subprocess.Popen([sys.executable, "-c", begin], cwd=REPOSITORY)
    (child,) = wait_for(lambda: children(parent.pid))
    parent.send_signal(sent)
    parent.wait(10)
    wait_for(lambda: not alive(child), seconds=10)
