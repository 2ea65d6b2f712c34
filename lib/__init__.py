"""probeflow's work, usable from a notebook: no module here imports prefect, and only `lib.tracking` imports mlflow."""
