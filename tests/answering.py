"""A process for the tests of `lib.processes`: it answers, says things, fails, and waits."""

from __future__ import annotations

import os
import time

from lib import processes
from lib.processes import Server


class TwoArgumentsError(Exception):
    """One that pickle cannot make again of its message."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


class Calls(Server):
    def twice(self, number: int) -> int:
        return 2 * number

    def count(self, to: int) -> int:
        for number in range(to):
            self.say("counted", number)
        return to

    def fail(self) -> None:
        raise ValueError("a bad value")

    def fail_strangely(self) -> None:
        raise TwoArgumentsError(7, "odd")

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def variable(self, name: str) -> str | None:
        return os.environ.get(name)


def serve() -> None:
    processes.serve(Calls())
