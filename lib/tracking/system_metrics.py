"""What the machine did while a node computed, as MLflow's monitors see it: processors, memory, disks, network, GPUs.

A node's run is made once its record is there, so samples are kept in the record's folder by whoever computes, here or on a pool,
and go to MLflow with the record.
"""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
from mlflow.entities import Metric
from mlflow.environment_variables import MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL

from lib.errors import ConfigError
from lib.files import write_json
from lib.machine import this_process
from lib.studies.record import RECORD

_SECONDS = 10.0
"""Between samples, unless MLflow's own variable says otherwise."""

_DAY = 86_400
_UNNAMEABLE = re.compile(r"[^\w.-]")
"""What may be in a machine's name and not in that of a metric of MLflow's."""

_POINTS = 100
"""Of a metric, at most: means over as many stretches of samples."""

_DRIVER = Path("/dev/nvidiactl")


def require_monitors() -> None:
    """Raise ConfigError when a package is missing that the samples need, or the time between them is none."""
    _monitors()
    _interval()


@contextmanager
def sampled(folder: Path) -> Iterator[None]:
    """Sample while the block computes the record in `folder`, and keep the samples there once it ends well.

    A block that is over before the first sample has none; nor has one whose record is there. Raises ConfigError as
    `require_monitors`.
    """
    if (folder / RECORD).exists():
        yield
        return
    monitors, interval, samples, done = _monitors(), _interval(), [], Event()

    def sample() -> None:
        _look(monitors)  # a share of processors is one since the last look
        while not done.wait(interval):
            samples.append({"time": time.time(), "metrics": _look(monitors)})

    thread = Thread(target=sample, name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    if samples:
        file = folder / f"system-{this_process()}-{samples[0]['time']:.0f}.json"
        write_json(file, {"machine": platform.node(), "samples": samples})


def system_metrics(folder: Path) -> list[Metric]:
    """The samples kept in a record's folder as MLflow has them; of several machines, each under its name.

    A damaged file is left out: a record is to be logged without samples rather than never.
    """
    machines: dict[str, list[dict[str, Any]]] = {}
    for file in folder.glob("system-*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(file.read_text(encoding="utf-8"))
            machine, some = _UNNAMEABLE.sub("-", content["machine"]), content["samples"]
            machines.setdefault(machine, []).extend(some)
    return [
        Metric(f"system/{f'{machine}/' if len(machines) > 1 else ''}{name}", value, when, step)
        for machine, samples in sorted(machines.items())
        for step, (when, means) in enumerate(_means(sorted(samples, key=lambda each: float(each["time"]))))
        for name, value in means.items()
    ]


def _means(samples: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, float]]]:
    """The time in milliseconds and the mean of each metric of each stretch of samples, which are in order."""
    for stretch in np.array_split(np.arange(len(samples)), min(len(samples), _POINTS)):
        some = [samples[at] for at in stretch]
        names = dict.fromkeys(name for each in some for name in each["metrics"])
        yield (
            int(1000 * np.mean([each["time"] for each in some])),
            {
                name: float(np.mean([each["metrics"][name] for each in some if name in each["metrics"]]))
                for name in names
            },
        )


def _interval() -> float:
    """Seconds between samples. Raises ConfigError when MLflow's variable says what is none."""
    variable = MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL
    with suppress(ValueError):
        if 0 < (seconds := float(_SECONDS if (given := variable.get()) is None else given)) <= _DAY:
            return seconds
    raise ConfigError(f"{variable.name} is {variable.get_raw()!r}; give seconds above 0, a day at most, or unset it")


def _monitors() -> list[Any]:
    try:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        with suppress(RuntimeError, *(() if _DRIVER.exists() else (ImportError,))):  # no GPU
            monitors.append(GPUMonitor())
    except ImportError as error:
        package = error.name or "nvidia-ml-py"
        raise ConfigError(
            f"PROBEFLOW_SYSTEM_METRICS needs the package {package}: pip install {package}, or unset it"
        ) from None
    return monitors


def _look(monitors: list[Any]) -> dict[str, float]:
    """What the monitors see now."""
    seen: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        seen |= monitor.aggregate_metrics()
        monitor.clear_metrics()
    return seen
