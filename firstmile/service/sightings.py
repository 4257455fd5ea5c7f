"""What Temporal knows of customers' workflows: who runs, how somebody ended, what was told the store.

Lists come from Temporal's visibility, which is a little late and answers about ten calls a second: they are
paged through slowly, and whatever matters is looked at once more, exactly. Statuses are read as the numbers
they are: the SDK raises `ValueError` for one that it does not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus as Status
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
)
from temporalio.client import WorkflowFailureError, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from firstmile.contracts import FLUSH, Flush, Told
from firstmile.errors import NotConfirmed
from firstmile.service.premises import (
    PATIENCE,
    Premises,
    is_not_found,
    no_worker,
    temporal_errors,
    workflow_id,
)

ENROLMENT = "enrolment"
"""The memo of a workflow that says which enrolment of its customer it is."""

ENDS = {
    Status.WORKFLOW_EXECUTION_STATUS_COMPLETED: "the workflow had ended in Temporal",
    Status.WORKFLOW_EXECUTION_STATUS_FAILED: "the workflow failed in Temporal",
    Status.WORKFLOW_EXECUTION_STATUS_CANCELED: "the workflow was cancelled in Temporal",
    Status.WORKFLOW_EXECUTION_STATUS_TERMINATED: "the workflow was terminated in Temporal",
    Status.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: "the workflow timed out in Temporal",
}
"""How a workflow can have ended, in words. Whatever else there is, it may go on: paused by Temporal, say."""

ENDED = ENDS[Status.WORKFLOW_EXECUTION_STATUS_COMPLETED]
"""It returned: what it was, it says itself."""

_BETWEEN = 0.2
"""Seconds between two calls of Temporal's visibility: half of what it allows, for others."""
_SOON = timedelta(seconds=5)
_OURS = workflow_id("")
_RUNNING = "ExecutionStatus = 'Running'"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A customer's workflow, in its newest run. `ended` says how, None while it goes on."""

    subject: str
    enrolment: int
    status: int

    @property
    def ended(self) -> str | None:
        """How it ended, in words."""
        return ENDS.get(self.status)  # type: ignore[call-overload,no-any-return]  # the enum is an int


class Sightings:
    """Looks at Temporal, slowly."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._next = 0.0

    async def running(self, token: bytes, limit: int) -> tuple[list[Sighting], bytes]:
        """A page of those who run, and the token of the next page, empty on the last."""
        answer = await self._list(f"{_RUNNING} AND WorkflowId STARTS_WITH '{_OURS}'", limit, token)
        if answer is None:
            return [], b""
        return [self._sighting(one) for one in answer.executions], answer.next_page_token

    async def running_of(self, subjects: Collection[str]) -> set[str]:
        """Those of some subjects who run, as far as visibility knows: perhaps fewer than do."""
        names = [workflow_id(one) for one in subjects if not set(one) & {"'", "\\", '"'}]
        if not names:
            return set()
        wanted = ", ".join(f"'{name}'" for name in names)
        answer = await self._list(f"{_RUNNING} AND WorkflowId IN ({wanted})", len(names), b"")
        return set() if answer is None else {self._sighting(one).subject for one in answer.executions}

    async def look(self, subject: str) -> Sighting | None:
        """One customer's workflow, exactly; None if Temporal knows none."""
        client = self._premises.client
        execution = WorkflowExecution(workflow_id=workflow_id(subject))
        try:
            with temporal_errors():
                found = await client.workflow_service.describe_workflow_execution(
                    DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=execution),
                    retry=True,
                    timeout=PATIENCE,
                )
        except RPCError as error:
            if is_not_found(error):
                return None
            raise
        return self._sighting(found.workflow_execution_info)

    async def outcome(self, subject: str) -> str:
        """What a workflow that came to its end returned: `completed` or `stopped`."""
        try:
            with temporal_errors():
                return (await self._premises.workflow(subject).result(rpc_timeout=PATIENCE)).outcome
        except WorkflowFailureError:
            return "stopped"

    async def told(self, subject: str) -> Told | None:
        """What a workflow has told the store. None if its worker is older than the question.

        Raises `NotConfirmed` if no worker answers.
        """
        try:
            with temporal_errors(), no_worker():
                found: Told = await self._premises.workflow(subject).query(
                    "told", result_type=Told, rpc_timeout=_SOON
                )
        except WorkflowQueryFailedError:
            return None
        except RPCError as error:
            if is_not_found(error):
                return None
            if error.status == RPCStatusCode.FAILED_PRECONDITION:  # no worker has ever looked at it
                raise NotConfirmed("no worker has looked at it yet") from error
            raise
        return found

    async def flush(self, subject: str, newest: int) -> bool:
        """Have a workflow tell the store again, above a view's number. False if it does not run any more."""
        try:
            with temporal_errors():
                await self._premises.workflow(subject).signal(FLUSH, Flush(newest), rpc_timeout=PATIENCE)
        except RPCError as error:
            if is_not_found(error):
                return False
            raise
        return True

    async def _list(self, query: str, limit: int, token: bytes) -> ListWorkflowExecutionsResponse | None:
        loop, client = asyncio.get_running_loop(), self._premises.client
        await asyncio.sleep(max(self._next - loop.time(), 0))
        self._next = loop.time() + _BETWEEN
        request = ListWorkflowExecutionsRequest(
            namespace=client.namespace, page_size=limit, next_page_token=token, query=query
        )
        try:
            with temporal_errors():
                return await client.workflow_service.list_workflow_executions(
                    request, retry=True, timeout=PATIENCE
                )
        except RPCError as error:
            if error.status == RPCStatusCode.UNIMPLEMENTED:  # the time-skipping server's answer
                return None
            if error.status == RPCStatusCode.INVALID_ARGUMENT and token:  # a token of another server
                return await self._list(query, limit, b"")
            raise

    def _sighting(self, info: WorkflowExecutionInfo) -> Sighting:
        memo = info.memo.fields.get(ENROLMENT)
        number = 1
        if memo is not None:
            (number,) = self._premises.client.data_converter.payload_converter.from_payloads([memo], [int])
        return Sighting(info.execution.workflow_id.removeprefix(_OURS), number, info.status)
