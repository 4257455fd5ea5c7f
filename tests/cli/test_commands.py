"""The commands about customers, publishing and settings: what they print, and with which status they end.

`firstmile` runs in this process, on a store of its own; Temporal is a real server, or not there.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from firstmile.cli import app
from firstmile.links import Target
from firstmile.service import Service
from firstmile.store import ledger, owners, tasks
from tests.doorway import (
    JOURNEY,
    SIGN_UP,
    Clock,
    Nowhere,
    database_of,
    folders,
    opened,
    town,
    until,
)
from tests.events import NOW, key_of, sent

Firstmile = Callable[..., Awaitable[Result]]


@pytest.fixture
def firstmile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Firstmile:
    """`firstmile` with the store of this test, where Temporal is not."""
    for name in list(os.environ):
        if name.startswith(("FIRSTMILE_", "TEMPORAL_", "SENDGRID_")):
            monkeypatch.delenv(name)
    chosen = folders(tmp_path)
    monkeypatch.setenv("FIRSTMILE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("FIRSTMILE_JOURNEYS", str(chosen.journeys))
    monkeypatch.setenv("FIRSTMILE_TEMPLATES", str(chosen.templates))
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("COLUMNS", "200")

    async def run(*arguments: str) -> Result:
        # A thread of its own: a command has an event loop of its own.
        return await asyncio.to_thread(CliRunner().invoke, app, arguments)

    return run


def printed(result: Result, status: int = 0) -> str:
    assert result.exit_code == status, result.output
    return str(result.stdout)


@pytest.fixture
async def signed_up(tmp_path: Path) -> AsyncIterator[Service]:
    async with opened(tmp_path, Nowhere(away=False), Clock()) as service:
        await service.enrol(SIGN_UP)
        yield service


# ---- publishing ------------------------------------------------------------------------------------------


async def test_journeys_are_published_once(firstmile: Firstmile) -> None:
    assert re.fullmatch(r"small version 1 published \(\w{12}\)\n", printed(await firstmile("publish")))
    assert "is published already" in printed(await firstmile("publish"))


async def test_a_published_version_never_changes(firstmile: Firstmile, tmp_path: Path) -> None:
    await firstmile("publish")
    folders(tmp_path, JOURNEY.replace("A small journey", "Another title"))

    refused = await firstmile("publish")

    assert refused.exit_code == 1
    assert "version 1 of small is published with other content: raise its version" in refused.stderr


async def test_a_wrong_journey_keeps_the_right_ones_from_being_published(
    firstmile: Firstmile, tmp_path: Path
) -> None:
    (tmp_path / "journeys" / "wrong.yaml").write_text(
        JOURNEY.replace("journey: small", "journey: wrong").replace("tips}", "tipps}")
    )

    refused = await firstmile("publish")

    assert refused.exit_code == 1
    assert "wrong.yaml:" in refused.stderr
    assert "did you mean 'tips'?" in refused.stderr
    again = json.loads(printed(await firstmile("publish", str(tmp_path / "journeys"), "--json"), 1) or "null")
    assert again is None


async def test_what_the_format_has_but_nothing_carries_out_is_not_yet_available(
    firstmile: Firstmile, tmp_path: Path
) -> None:
    folders(tmp_path, JOURNEY + '  - {id: tell, after: [welcome], notify: {to: sales, message: "new"}}\n')

    refused = await firstmile("publish")

    assert refused.exit_code == 1
    assert "not yet available" in refused.stderr


# ---- settings --------------------------------------------------------------------------------------------


async def test_settings_are_shown_with_where_they_come_from(
    firstmile: Firstmile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDGRID_API_KEY", "SG.secret")
    found = json.loads(printed(await firstmile("settings", "--json")))

    assert found["task_queue"] == {
        "variable": "FIRSTMILE_TASK_QUEUE", "value": "firstmile", "from": "default",
    }  # fmt: skip
    assert found["sendgrid_api_key"]["from"] == "SENDGRID_API_KEY"
    shown = printed(await firstmile("settings", "--explain"))
    assert "SG.secret" not in shown
    assert "FIRSTMILE_STATE_DIR" in shown


async def test_wrong_settings_are_all_named(firstmile: Firstmile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTMILE_HTTP_PORT", "web")
    monkeypatch.setenv("FIRSTMILE_TASKQUEUE", "blue")

    refused = await firstmile("list")

    assert refused.exit_code == 2
    assert "FIRSTMILE_HTTP_PORT: a whole number was expected, not 'web'" in refused.stderr
    assert "did you mean FIRSTMILE_TASK_QUEUE?" in refused.stderr


# ---- without Temporal ------------------------------------------------------------------------------------


async def test_what_is_in_the_store_is_shown_without_temporal(
    firstmile: Firstmile, signed_up: Service
) -> None:
    assert "no customers" in printed(await firstmile("list"))
    shown = printed(await firstmile("status", "c-1"))
    assert "Jonas Weber, Weber & Partner" in shown
    assert "starting" in shown
    assert json.loads(printed(await firstmile("status", "c-1", "--json")))["status"] == "starting"


async def test_nobody_has_no_status(firstmile: Firstmile, signed_up: Service) -> None:
    refused = await firstmile("status", "c-9")

    assert (refused.exit_code, refused.stderr) == (1, "nobody signed up as 'c-9'\n")


async def test_a_command_without_temporal_says_so(firstmile: Firstmile, signed_up: Service) -> None:
    refused = await firstmile("pause", "c-1", "--reason", "holiday")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("Temporal does not answer")


async def test_messages_are_held_and_released_without_temporal(firstmile: Firstmile) -> None:
    assert printed(await firstmile("hold")) == "nothing is held\n"
    printed(await firstmile("hold", "everything", "--reason", "wrong price", "--actor", "ann"))

    (held,) = json.loads(printed(await firstmile("hold", "--json")))["holds"]
    assert (held["scope"], held["reason"], held["actor"]) == ("everything", "wrong price", "ann")
    assert "by ann: wrong price" in printed(await firstmile("hold"))

    assert printed(await firstmile("hold", "--release")) == "1 released\n"
    assert printed(await firstmile("hold", "--release")) == "nothing was held\n"


async def test_an_address_is_suppressed_looked_at_and_lifted_without_temporal(
    firstmile: Firstmile, signed_up: Service
) -> None:
    address, page = "jonas@weber.example", Target("c-1", 1)
    why = ("--reason", "mailbox mended", "--actor", "ann")
    assert printed(await firstmile("suppression", "list")) == "no address is suppressed\n"
    assert "nothing keeps messages" in printed(await firstmile("suppression", "list", address))

    assert "only what" in printed(await firstmile("suppression", "add", address, *why))
    assert "before" in printed(await firstmile("suppression", "add", address.upper(), *why))
    assert "manual since" in printed(await firstmile("suppression", "list"))
    await signed_up.preferring.stop(page)

    lifted = json.loads(printed(await firstmile("suppression", "lift", address, *why, "--json")))
    assert lifted == {"lifted": ["manual"]}
    refused = printed(await firstmile("suppression", "lift", address, *why))
    assert refused.startswith("nothing was lifted: unsubscribed is the recipient's own word.")
    assert "--of unsubscribed" in refused
    nobody = await firstmile("suppression", "lift", "nobody@weber.example", *why)
    assert "nothing to lift" in printed(nobody)
    assert (await signed_up.preferences(page)).standing == "stopped"

    assert "lifted: unsubscribed" in printed(
        await firstmile("suppression", "lift", address, *why, "--of", "unsubscribed")
    )
    await signed_up.preferring.choose(page, ["tips"])
    shown = printed(await firstmile("suppression", "list", address))
    assert "wants no training since" in shown
    # The service of this test has a clock of its own: the order is not that of the commands.
    assert set(re.findall(r"  (\w[\w ]+), by (\w+)", shown)) >= {
        ("suppress manual", "ann"), ("stop", "page"), ("lift manual", "ann"), ("lift unsubscribed", "ann"),
    }  # fmt: skip
    seen = json.loads(printed(await firstmile("suppression", "list", address, "--json")))
    assert seen["suppressions"] == []
    assert [one["topic"] for one in seen["left"]] == ["feedback", "offers", "training"]
    assert {one["note"] for one in seen["history"] if one["by"] == "ann"} == {"mailbox mended"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["suppression", "add", "ada@weber.example"],
        ["suppression", "add", "ada@weber.example", "--reason", " "],
        ["suppression", "add", "ada", "--reason", "r"],
        ["suppression", "list", "ada"],
        ["suppression", "lift", "ada@weber.example", "--reason", "r", "--of", "bouncing"],
        ["hold", "everything"],
        ["hold", "something", "--reason", "r"],
        ["pause", "c-1"],
        ["pause", "c-1", "--reason", "r", "--until", "tomorrow"],
        ["resume", "c-1", "--overdue", "perhaps"],
        ["traits", "c-1", "seats"],
        ["list", "--status", "happy"],
        ["list", "--q", "an"],
        ["list", "--since", "soon"],
        ["list", "--count", "--q", "&"],
        ["event", "c-1", "logged in"],
        ["event", "c-1", "user.logged_in", "--at", "noon"],
        ["event", "c-1", "user.logged_in", "--properties", "{n: 1}"],
        ["publish", "/nowhere"],
    ],
    ids=" ".join,
)
async def test_what_is_wrongly_used_ends_with_2(firstmile: Firstmile, arguments: list[str]) -> None:
    refused = await firstmile(*arguments)

    assert refused.exit_code == 2, refused.output
    assert refused.stderr


async def test_an_event_for_somebody_yet_to_come_is_kept(firstmile: Firstmile) -> None:
    said = printed(await firstmile("event", "c-9", "user.logged_in", "--properties", '{"n": 1}'))

    assert "is kept for 7 days" in said


async def test_a_sweep_says_what_it_did(firstmile: Firstmile) -> None:
    found = json.loads(printed(await firstmile("sweep", "--json")))

    assert found == {"started": 0, "removed": 0, "delivered": 0, "expired": 0}


async def test_when_the_store_is_away_that_is_said(
    firstmile: Firstmile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTMILE_DATABASE_URL", "postgresql://nobody:hush@127.0.0.1:1/none")
    monkeypatch.setenv("FIRSTMILE_LINK_SECRETS", "a secret that is long enough")

    refused = await firstmile("list")

    assert refused.exit_code == 1
    assert refused.stderr.startswith("the store does not answer")
    assert "hush" not in refused.output


# ---- with customers that run -----------------------------------------------------------------------------


async def test_an_operator_looks_and_commands(
    firstmile: Firstmile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town(tmp_path) as running:
        monkeypatch.setenv("TEMPORAL_ADDRESS", running._premises.client.service_client.config.target_host)
        monkeypatch.setenv("TEMPORAL_NAMESPACE", running._premises.client.namespace)
        await running.enrol(SIGN_UP)
        await until(
            lambda: running.status("c-1"), lambda one: any(row.step == "tips" and row.at for row in one.rows)
        )

        (one,) = (json.loads(line) for line in printed(await firstmile("list", "--json")).splitlines())
        assert (one["id"], one["segment"], one["stage"]) == ("c-1", "small", "sign-up")
        assert "Jonas Weber" in printed(await firstmile("list", "--segment", "small", "--stage", "sign-up"))
        assert "no customers" in printed(await firstmile("list", "--status", "stuck"))
        assert "Jonas Weber" in printed(await firstmile("list", "--q", "web jon", "--owner", "ann"))
        assert "no customers" in printed(await firstmile("list", "--q", "jonas", "--overdue"))
        asked = ("--version", "1", "--since", "2026-01-01T00:00:00Z", "--count")
        assert printed(await firstmile("list", *asked)) == "1 customer\n"
        none = await firstmile("list", "--stuck", "tips", "--reason", "missing", "--count", "--json")
        assert json.loads(printed(none)) == {"count": 0, "or_more": False}

        said = printed(await firstmile("pause", "c-1", "--reason", "on holiday", "--actor", "ann"))
        assert said == "done: 'c-1' is paused\n"
        rejected = await firstmile("pause", "c-1", "--reason", "on holiday")
        assert (rejected.exit_code, rejected.stderr) == (1, "the journey is paused already\n")
        printed(await firstmile("resume", "c-1", "--overdue", "run"))

        done = json.loads(printed(await firstmile("skip", "c-1", "tips", "--reason", "knows it", "--json")))
        assert done["view"]["steps"]["tips"]["phase"] == "skipped"
        printed(await firstmile("assign", "c-1", "specialist", "bo"))
        printed(await firstmile("traits", "c-1", "seats=20", "plan=pro"))
        for arguments in (("retry", "tips"), ("run-now", "nps"), ("complete", "welcome")):
            assert (await firstmile(arguments[0], "c-1", arguments[1])).exit_code == 1

        for number in (1, 2):
            said = printed(await firstmile("event", "c-1", "report.published", "--id", f"e{number}"))
            assert said == "report.published was passed on to 'c-1'\n"
        assert "was dropped" in printed(await firstmile("event", "c-1", "page.viewed"))
        await until(
            lambda: running.status("c-1"),
            lambda one: one.view is not None and one.view.onboarded_at is not None,
        )

        shown = printed(await firstmile("status", "c-1", "--journal"))
        for words in (
            "Bo Berg",
            "stage mastery",
            "onboarded",
            "knows it",
            "Done",
            "Now",
            "waits for an answer",
        ):
            assert words in shown, words

        printed(await firstmile("cancel", "c-1", "--reason", "left"))
        await until(lambda: running.status("c-1"), lambda one: one.status == "stopped")
        over = await firstmile("pause", "c-1", "--reason", "r")
        assert over.exit_code == 1
        assert "has ended (stopped on " in over.stderr
        printed(await firstmile("status", "c-1", "--watch"))


# ---- people ----------------------------------------------------------------------------------------------


async def test_people_are_made_known_and_changed(firstmile: Firstmile) -> None:
    assert "nobody is known" in printed(await firstmile("people"))
    told = printed(await firstmile("person", "ann", "--name", "Ann Becker", "--team", "onboarding"))
    assert told == "ann is in onboarding\n"
    printed(await firstmile("person", "ann", "--name", "Ann B.", "--team", "success", "--inactive"))

    found = json.loads(printed(await firstmile("people", "--json")))

    assert found["people"] == [
        {"id": "ann", "name": "Ann B.", "team": "success", "email": None, "active": False, "customers": 0}
    ]


async def test_a_person_without_a_name_is_refused_with_what_to_write(firstmile: Firstmile) -> None:
    result = await firstmile("person", "a n", "--name", " ", "--team", "onboarding")

    assert result.exit_code == 2
    assert "name: it is missing: customers read it" in result.output
    assert "id: a text without blanks was expected" in result.output


async def test_a_status_shows_what_became_of_messages(firstmile: Firstmile, signed_up: Service) -> None:
    assert "no messages" in printed(await firstmile("status", "c-1", "--messages"))
    await sent(signed_up, "m-1")
    async with database_of(signed_up).writing() as tx:
        await ledger.record_fate(tx, key_of("m-1"), "bounced", at=NOW, now=NOW, reason="550 5.1.1")

    shown = printed(await firstmile("status", "c-1", "--messages"))

    assert re.search(r"2026-03-06 09:00 +tips +tips +accepted +bounced +– +– +550 5\.1\.1", shown), shown


async def test_a_status_shows_what_somebody_has_to_do_beside_the_steps(
    firstmile: Firstmile, signed_up: Service, tmp_path: Path
) -> None:
    def undelivered(key: str, owner: str | None) -> tasks.NewTask:
        return tasks.NewTask(key, "c-1", 1, "welcome/undelivered", "It did not arrive: welcome", owner)

    async with database_of(signed_up).writing() as tx:
        await owners.assign(tx, "onboarding", "c-1", 1, "specialist", NOW)
        await tasks.open_all(tx, [undelivered("a", "ann"), undelivered("b", None)], NOW)
        await tasks.complete(tx, "b", actor="ann", now=NOW)

    shown = printed(await firstmile("status", "c-1"))

    assert re.findall(r"! +welcome/undelivered +It did not arrive: welcome, for (.*?) *$", shown, re.M) == [
        "Ann Becker"
    ]
    done = await firstmile("complete", "c-1", "welcome/undelivered")
    assert printed(done) == "done: 'welcome/undelivered' of 'c-1'\n"
    assert "undelivered" not in printed(await firstmile("status", "c-1"))


# ---- who they are ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("signed_up")
async def test_an_address_is_changed_once_it_was_looked_at_what_would_change(firstmile: Firstmile) -> None:
    foreseen = printed(await firstmile("address", "c-1", "jonas@new.example", "--dry-run"))
    assert foreseen.splitlines() == [
        "nothing was changed; this would happen:",
        "messages to 'c-1' go to the new address from now on",
    ]

    assert "from now on" in printed(
        await firstmile("address", "c-1", "jonas@new.example", "--reason", "moved")
    )
    assert printed(await firstmile("address", "c-1", "jonas@new.example")) == "it is that already\n"
    (deed,) = [json.loads(line) for line in printed(await firstmile("audit", "c-1", "--json")).splitlines()]
    assert (deed["action"], deed["reason"]) == ("address", "moved")
    refused = await firstmile("address", "c-1", "jonas")
    assert (refused.exit_code, "it is not an address" in refused.stderr) == (2, True)


async def test_a_key_is_made_listed_rotated_and_revoked(firstmile: Firstmile) -> None:
    made = json.loads(printed(await firstmile("key", "create", "crm", "--role", "system", "--json")))
    assert made["token"].startswith(f"fm_{made['id']}_")
    assert made["scopes"] == ["events", "signup"]
    assert made["token"] not in printed(await firstmile("key", "list"))
    assert printed(await firstmile("key", "rotate", made["id"])).strip() != made["token"]
    printed(await firstmile("key", "revoke", made["id"], "--reason", "left"))
    (listed,) = json.loads(printed(await firstmile("key", "list", "--json")))["keys"]
    assert listed["state"] == "revoked"
    again = await firstmile("key", "revoke", made["id"])
    assert (again.exit_code, "could be revoked" in again.stderr) == (1, True)
    assert printed(await firstmile("audit")).count("key.") == 3
