"""When a failed task is tried again."""

from __future__ import annotations

import pytest
from prefect.states import Completed, Failed

from lib.errors import DataError, LostProcessError, LostStoreError, StorageError
from tasks.policy import may_pass


@pytest.mark.parametrize(
    ("state", "again"),
    [
        (Failed(data=DataError("bad input stays bad")), False),
        (Failed(data=ConnectionError("the server was away")), True),
        (Failed(data=LostProcessError("killed by signal 9")), True),
        (Failed(data=StorageError("a store that cannot be opened")), False),
        (Failed(data=LostStoreError("a store that fails meanwhile")), True),
        (Completed(data=None), True),
    ],
)
def test_only_faults_that_may_pass_are_tried_again(state, again):
    assert may_pass(None, None, state) is again
