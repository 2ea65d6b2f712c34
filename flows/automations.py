"""Automations as code: what Prefect's server does by itself about runs that are lost, crashed, stuck, late or endless.

They are ours by their name's beginning: those no longer described are removed, others are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, CallWebhook, CancelFlowRun, ChangeFlowRunState, DoNothing
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from lib.errors import ConfigError
from tasks.ends import RESTARTING, RESTARTS

OURS = "probeflow: "
LOST = f"{OURS}crash lost runs"
WEBHOOK = "probeflow-notifications"

HEARTBEAT_SECONDS = 30
SILENCE_SECONDS = 120
"""Silence after which a running flow counts as lost: four heartbeats."""

_FLOWS = ("pipeline", "chunk")
_BY_FLOW: dict[str, Any] = {"prefect.resource.role": "flow", "prefect.resource.name": list(_FLOWS)}
_RESTART_SECONDS = 15
"""From a crash to the restart."""
_PENDING_MINUTES = 10
"""A worker takes seconds from accepting a run to running it; a cluster that pulls an image takes minutes."""
_LATE_MINUTES = 15
_LONGEST_HOURS = 24

_FINAL = ("Completed", "Failed", "Cancelled", "Crashed", "TimedOut")


def described(parents: Sequence[UUID], webhook: UUID | None) -> list[AutomationCore]:
    """The automations of a server with the deployments `parents` that are started again, and the webhook that is called."""
    by_parent = {"prefect.resource.id": [f"prefect.deployment.{each}" for each in sorted(parents, key=str)]}
    found = [lost_runs()]
    if not parents:
        return found
    found += [
        _automation(
            "restart crashed runs",
            f"Schedules a crashed run of a deployment again; the run itself refuses to begin a restart after {RESTARTS}.",
            # Not at once: the worker is busy with the crashed run for some seconds, and reports it a second time.
            _trigger(
                by_parent,
                {"Crashed"},
                {RESTARTING, "Scheduled", "AwaitingRetry", "Pending", "Running", "Completed", "Failed", "Cancelled"},
                timedelta(seconds=_RESTART_SECONDS),
            ),
            ChangeFlowRunState(
                name=RESTARTING, state=StateType.SCHEDULED, message="crashed; begun again, going on from what is done"
            ),
        ),
        _automation(
            "crash stuck runs",
            f"A run that a worker accepted and has not begun for {_PENDING_MINUTES} minutes is lost.",
            _trigger(_BY_FLOW, {"Pending"}, {"Running", *_FINAL}, timedelta(minutes=_PENDING_MINUTES)),
            ChangeFlowRunState(
                state=StateType.CRASHED, message=f"accepted by a worker, not begun for {_PENDING_MINUTES} minutes"
            ),
        ),
        _automation(
            "cancel endless runs",
            f"A deployed run that has not ended {_LONGEST_HOURS} hours after it began hangs.",
            _trigger(by_parent, {"Running"}, set(_FINAL), timedelta(hours=_LONGEST_HOURS)),
            CancelFlowRun(),
        ),
        _automation(
            "late runs",
            f"Notes, and reports to the webhook if there is one, that a run was not begun {_LATE_MINUTES} minutes after it was "
            "due: no worker is online, or all are busy.",
            _trigger(by_parent, {"Late"}, {"Pending", "Running", *_FINAL}, timedelta(minutes=_LATE_MINUTES)),
            _call(webhook, f"not begun {_LATE_MINUTES} minutes after it was due") if webhook else DoNothing(),
        ),
    ]
    if webhook:
        found.append(
            _automation(
                "report failures",
                f"Tells the webhook (block {WEBHOOK!r}) of every deployed run that failed or crashed.",
                _trigger(by_parent, set(), {"Failed", "Crashed", "TimedOut"}, timedelta(0), Posture.Reactive),
                _call(webhook, "ended"),
            )
        )
    return found


def lost_runs() -> AutomationCore:
    """Marks a run of our flows as crashed when its heartbeats end without its end.

    Prefect has no such watch by itself: a run whose machine or worker is gone would stay "running", and be waited for.
    """
    heartbeat = "heartbeat"
    return _automation(
        LOST.removeprefix(OURS),
        f"A running flow of probeflow that is silent for {SILENCE_SECONDS} s is lost.",
        # After its begin, too: what is killed before its first heartbeat has no other sign of life to miss.
        _trigger(_BY_FLOW, {"Running", heartbeat}, {heartbeat, *_FINAL}, timedelta(seconds=SILENCE_SECONDS)),
        ChangeFlowRunState(state=StateType.CRASHED, message=f"no heartbeat for {SILENCE_SECONDS} s"),
    )


def make_automations(
    client: SyncPrefectClient, wanted: Sequence[AutomationCore], all_of_them: bool = True
) -> list[str]:
    """Make or change the automations `wanted`; if they are `all_of_them`, remove others of ours. Returns a line for each."""
    there = {each.name: each for each in client.read_automations()}
    names = {each.name for each in wanted}
    lines = []
    for automation in wanted:
        old = there.get(automation.name)
        if old is None:
            client.create_automation(automation)
        elif old.model_dump(include=set(AutomationCore.model_fields)) != automation.model_dump():
            # An update forgets what the old one was waiting for: do not disturb it for nothing.
            client.update_automation(old.id, automation)
        lines.append(f"automation {automation.name}")
    for name, old in there.items():
        if all_of_them and name not in names and name.startswith(OURS):
            client.delete_automation(old.id)
            lines.append(f"removed    automation {name}")
    return lines


def save_webhook(client: SyncPrefectClient, address: str | None) -> UUID | None:
    """Keep the address that failures are reported to in a block, encrypted by the server; returns the block's id.

    Without an address: that of the block made before, or by hand in the UI, or None.

    Raises ConfigError for an address that is not fetched from; it is not shown, for it may hold a token.
    """
    if address:
        if not address.startswith(("http://", "https://")):
            raise ConfigError("PROBEFLOW_WEBHOOK is no http:// or https:// address")
        block: Any = Webhook(method="POST", url=SecretStr(address))
        identity = block.save(WEBHOOK, overwrite=True)
        assert isinstance(identity, UUID)
        return identity
    try:
        found = client.read_block_document_by_name(WEBHOOK, "webhook")
    except ObjectNotFound:
        return None
    return UUID(str(found.id))


def _automation(name: str, text: str, trigger: EventTrigger, *actions: ActionTypes) -> AutomationCore:
    return AutomationCore(
        name=OURS + name, description=text, tags=["probeflow"], trigger=trigger, actions=list(actions)
    )


def _trigger(
    related: dict[str, Any], after: set[str], expect: set[str], within: timedelta, posture: Posture = Posture.Proactive
) -> EventTrigger:
    """Fires for a run with an event of `after` and within that time none of `expect`; reactive, for one of `expect`."""
    after, expect = ({f"prefect.flow-run.{event}" for event in events} for events in (after, expect))
    return EventTrigger(
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
        match_related=[ResourceSpecification(related)],
        for_each={"prefect.resource.id"},
        after=after,
        expect=expect,
        posture=posture,
        threshold=1,
        within=within,
    )


_PAYLOAD = """\
{%- set said -%}
probeflow: {{ flow.name }} run {{ flow_run.name }} WHAT: {{ flow_run.state.name }}{{ ". " if flow_run.state.message }}
{%- for part in (flow_run.state.message or "").split("://") -%}
{%- set user = 0 if loop.first else ((part.split() | first | default("")).split("/") | first).rfind("@") + 1 -%}
{{ "" if loop.first else "://" }}{{ part[user:] }}
{%- endfor -%}
{%- endset -%}
{"text": {{ (said | truncate(LONGEST, true)) | tojson }}}"""
"""In the form that Slack, Mattermost and Teams' workflows take, with the state's message, in which addresses are without
user and password as everywhere (`lib.addresses`). Jinja fills it in on the server."""

_LONGEST = 1000


def _call(webhook: UUID, what: str) -> CallWebhook:
    payload = _PAYLOAD.replace("WHAT", what).replace("LONGEST", str(_LONGEST))
    return CallWebhook(block_document_id=webhook, payload=payload)
