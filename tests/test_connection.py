"""Opening Temporal and the store: what is missing is added, and what is away is said to be."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from firstmile import connection, search_attributes
from firstmile.errors import StoreAway, TemporalAway
from firstmile.settings import Settings
from tests.doorway import SIGN_UP, opened


async def test_temporal_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")

    with pytest.raises(TemporalAway, match=r"does not answer at 127\.0\.0\.1:1.*TEMPORAL_ADDRESS") as away:
        await connection.temporal(patience=timedelta(seconds=0.2))

    assert away.value.retryable


async def test_a_namespace_learns_our_search_attributes(tmp_path: Path) -> None:
    server = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
        data_converter=pydantic_data_converter,
        dev_server_log_level="error",
    )
    async with server:
        # A customer who is started before any worker was there: the service teaches the namespace.
        async with opened(tmp_path, server.client) as service:
            assert (await service.enrol(SIGN_UP)).outcome == "started"
        for _ in range(2):
            await connection.ensure_search_attributes(server.client)
        described = await server.client.get_workflow_handle("onboarding/c-1").describe()

    found = {pair.key.name: pair.value for pair in described.typed_search_attributes}
    assert found == {
        search_attributes.SEGMENT.name: "small",
        search_attributes.VERSION.name: 1,
        search_attributes.STAGE.name: "sign-up",
    }


async def test_a_store_that_does_not_answer_is_said_to_be_away_without_its_password() -> None:
    settings = Settings(database_url="postgresql://nobody:hush@127.0.0.1:1/none")

    with pytest.raises(StoreAway) as away:
        async with connection.store(settings):
            pass

    assert away.value.retryable
    assert "hush" not in str(away.value)


async def test_a_store_with_another_schema_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "firstmile.db").touch()

    with pytest.raises(StoreAway, match="the schema is at nothing"):
        async with connection.store(Settings(state_dir=tmp_path, migrate=False)):
            pass


async def test_a_store_is_brought_to_this_programs_schema(tmp_path: Path) -> None:
    async with connection.store(Settings(state_dir=tmp_path / "new")) as database:
        await database.ready()
