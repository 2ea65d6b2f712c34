"""What happens, in which order, where. `python -m flows` is the command line; each flow is also a deployment.

Flows describe their parameters under `Args:`, which Prefect shows in its form. The defaults below must be in the environment
before Prefect or MLflow is imported; a user's own values win.
"""

import logging as _logging
import os as _os

from lib.addresses import ask_loopback_directly as _ask_loopback_directly

_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # no telemetry from clusters without network
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # never pickle
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # a first start migrates its database
    "PREFECT_LOGGING_EXTRA_LOGGERS": "lib,tasks",  # what these log shows in the flow run's page
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # a server counts a run as lost after 120 s; Prefect's own is 180 s
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # lib has threads of its own, which belong to no flow run
}
for _name, _value in _DEFAULTS.items():
    _os.environ.setdefault(_name, _value)
_ask_loopback_directly(_os.environ)
for _name in ("lib", "tasks"):
    _logging.getLogger(_name).setLevel(
        _logging.INFO
    )  # Prefect hands on what these let pass, and they pass warnings only
