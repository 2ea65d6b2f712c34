"""How Prefect runs one step: names, retries, artifacts. What is done already is known from the disk, so nothing is cached."""
