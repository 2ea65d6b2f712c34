"""What happens, in which order, where. `python -m flows` is the command line; each flow is also a deployment.

Flows describe their parameters under `Args:`, the one form of docstring that Prefect shows in its form.

The defaults below must be in the environment before Prefect or MLflow is imported; a user's own values win.
"""

import os as _os

_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # no telemetry from clusters without network
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # never pickle
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # a first start migrates its database
    "PREFECT_LOGGING_EXTRA_LOGGERS": "lib,tasks",  # what these log shows in the flow run's page
}
for _name, _value in _DEFAULTS.items():
    _os.environ.setdefault(_name, _value)
