"""The studies: each turns settings and data into a StudyRecord on disk, with no Prefect and no MLflow."""
