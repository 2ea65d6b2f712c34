"""One worker of a process pool, as `prefect worker start` is, but for one thing: it outlives a run that is begun again.

Prefect's worker with a limit ends, with all that it runs, when a run that it still holds is scheduled anew: as a crashed
run is, while its hooks are at work. This one leaves such a run to its next look. Started by `flows/work.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Any

from prefect.settings import PREFECT_WORKER_HEARTBEAT_SECONDS
from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers.process import ProcessWorker


def make_worker(pool: str, name: str, limit: int) -> Any:
    """A worker that does not take a run before it has let go of it."""
    worker: Any = ProcessWorker(
        work_pool_name=pool,
        name=name,
        limit=limit,
        heartbeat_interval_seconds=int(PREFECT_WORKER_HEARTBEAT_SECONDS.value()),
    )
    submit = worker._submit_scheduled_flow_runs

    async def submit_free(flow_run_response: list[Any]) -> Any:
        held = set(worker.limiter.statistics().borrowers)
        return await submit([response for response in flow_run_response if response.flow_run.id not in held])

    worker._submit_scheduled_flow_runs = submit_free
    return worker


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pool", required=True)
    parser.add_argument("--limit", type=int, required=True)
    parser.add_argument("--name", required=True)
    options = parser.parse_args()
    worker = make_worker(options.pool, options.name, options.limit)
    setup_signal_handlers_worker(os.getpid(), "the process worker", print)
    try:
        asyncio.run(worker.start(printer=print))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"Worker {options.name!r} stopped!")  # noqa: T201  # as Prefect's does


if __name__ == "__main__":
    main()
