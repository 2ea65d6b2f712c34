"""The order in which the server's automations take events: Prefect's own, but nothing waits for what a former server saw.

Prefect holds back a run's change of state until the change that it follows, within five minutes, has been seen by this
server's process. What was seen before the server was started again never is: after 15 minutes the held event is let go, too
late for any automation, and a run that crashed would not be begun again. docker-compose.yml names this module to the server.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from prefect.server.events.ordering import event_handler, memory
from prefect.server.events.schemas.events import ReceivedEvent

_BEGUN = time.time()


class CausalOrdering(memory.CausalOrdering):
    """In memory; Prefect asks for it by this name."""

    @asynccontextmanager
    async def preceding_event_confirmed(
        self, handler: event_handler, event: ReceivedEvent, depth: int = 0
    ) -> AsyncGenerator[None, None]:
        """Where an event is dealt with; raises EventArrivedEarly when that has to wait for the one that it follows."""
        if event.follows is not None and _made(event.follows) < _BEGUN:
            event = event.model_copy(update={"follows": None})
        async with super().preceding_event_confirmed(handler, event, depth):
            yield


def _made(identity: UUID) -> float:
    """When an id was made, in seconds since 1970, which ids of states tell (version 7); of others, never."""
    return (identity.int >> 80) / 1000 if identity.version == 7 else float("inf")
