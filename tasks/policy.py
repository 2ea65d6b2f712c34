"""When a failed task is tried again: only for faults that may pass by themselves."""

from __future__ import annotations

from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from lib.errors import LostProcessError, LostStoreError, ProbeflowError


def may_pass(task: Any, task_run: TaskRun, state: State[Any]) -> bool:
    """Bad input stays bad, so a ProbeflowError is final; a lost connection or a killed process may pass, as anything else."""
    try:
        state.result()
    except ProbeflowError as error:
        return isinstance(error, LostProcessError | LostStoreError)
    except Exception:
        return True
    return True


POLICY: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": 2,
    "retry_delay_seconds": [2, 10],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": may_pass,
}
"""Options shared by all tasks. No tags: Prefect asks its server for a concurrency slot for every tagged task run,
and one such request in five took 2 s on a local server."""
