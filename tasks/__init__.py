"""How Prefect runs one step: names, retries, artifacts. The work itself is in `lib`.

Tasks take settings and paths and give plain JSON; datasets and arrays never pass through Prefect. What has been done
already is known from the work on disk (sealed manifests, records), so Prefect's own result cache stays off.
"""
