"""A program that shows twelve steps on its terminal, as a run shows its nodes, and ends as its argument says."""

from __future__ import annotations

import sys
import threading
import time

from flows.live import live
from flows.terminal import readable_everywhere
from lib.progress import bar, running, tell

STEPS = [(f"step{number}", "sweep") for number in range(12)]


def logs() -> None:
    """What runs beside the steps."""
    with bar("step0 to MLflow", 50, "run") as advance:
        for _ in range(50):
            advance(1)
            time.sleep(0.01)


def main(end: str) -> None:
    readable_everywhere()
    beside = threading.Thread(target=logs)
    with live(sys.stdout, STEPS):
        beside.start()
        for name, kind in STEPS[:6]:
            with running(name, kind) as outcome, bar(f"train {name}", 1000, "epoch") as advance:
                for _ in range(5):
                    advance(200)
                    time.sleep(0.02)
                tell(f"{name} waits for nobody")
                outcome(f"tanh · 0.9 ± 0.1 猫, of {name}")
        beside.join()
        with running("step6", "sweep"), bar("train step6", 1000, "epoch") as advance:
            advance(250)
            time.sleep(0.5)
            sys.stdout.write("ready\n")
            if end == "error":
                raise ValueError("an error")
            if end != "well":
                time.sleep(60)
    sys.stdout.write("the end\n")


if __name__ == "__main__":
    main(sys.argv[1])
