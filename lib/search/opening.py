"""Open the search of a variant."""

from __future__ import annotations

from pathlib import Path

from lib.search.grid_search import GridSearch
from lib.search.search import Search
from lib.search.variant import Variant
from lib.storage.copies import fetch_file


def open_search(variant: Variant, folder: Path, name: str) -> Search:
    """The search of the variant `name`; its journal, if it needs one, lies in `folder` as `search-<name>.log`."""
    if variant.search is None:
        return GridSearch(variant)
    from lib.search.optuna_search import OptunaSearch  # Optuna takes a second to import, and a grid needs none

    journal = folder / f"search-{name}.log"
    fetch_file(journal)
    return OptunaSearch(variant.search, journal, name)
