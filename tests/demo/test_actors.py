"""Who acts in the demo does each thing once, tries again what could not be done, and says what never could."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from firstmile.contracts import effect_key
from firstmile.demo import actors
from firstmile.demo.actors import Actors
from firstmile.demo.customers import Customer
from firstmile.demo.story import After, Day, OptsOut, Orders, Rates, Scene, Uses, Work
from firstmile.demo.surroundings import Ports, Surroundings

PLACE = Surroundings(Path(), Ports(1, 2, 3, 4, 5, 6, 7), Path(), Path())
Answer = Callable[[httpx.Request], httpx.Response | None]


class World:
    """The web service and the inbox, with one customer who is ten days on the way."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.status: dict[str, Any] = {"status": "active", "steps": [], "tasks": []}
        self.letters: list[dict[str, Any]] = []
        self.first: Answer = lambda request: None
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        special = self.first(request)
        if request.method == "POST":
            text = request.content.decode()
            self.calls.append((path, json.loads(text) if text.startswith(("{", "[")) else text))
            if special is None and path.endswith("/cancel"):
                self.status["status"] = "stopped"
        if special is not None:
            return special
        if path == "/v1/onboardings" and request.method == "GET":
            return httpx.Response(200, json={"onboardings": [{"id": "c-1", "updated_at": str(self.status)}]})
        if path == "/v1/onboardings":
            began = datetime.now(UTC) - timedelta(days=10)
            known = getattr(self, "began", began)
            self.began = known
            return httpx.Response(202, json={"enrolled_at": known.isoformat()})
        if path == "/v1/onboardings/c-1":
            return httpx.Response(200, json=self.status)
        if path == "/_standin/messages":
            return httpx.Response(200, json={"messages": self.letters})
        if path.startswith("/_standin/messages/"):
            html = f'<a href="{PLACE.web}/s/token">answer</a>'
            return httpx.Response(
                200,
                json={
                    "content": [{"type": "text/html", "value": html}],
                    "headers": {"List-Unsubscribe": f"<{PLACE.web}/u/token>"},
                    "personalizations": [{}],
                },
            )
        if path.startswith("/s/") and request.method == "GET":
            return httpx.Response(200, html='<form method="post"><input name="score"></form>')
        return httpx.Response(200, json={})

    def posted(self, path: str) -> list[Any]:
        return [body for where, body in self.calls if where == path]


CANCEL = Scene(Day(9), Orders("cancel", reason="enough"))


def customer(*scenes: Scene, work: dict[str, Work] | None = None) -> Customer:
    return Customer(
        id="c-1", segment="team", name="N", company="", email="n@n.example", timezone="UTC", country="DE",
        locale="en", about="", traits={}, scenes=scenes, work=work or {},
    )  # fmt: skip


async def play(world: World, *scenes: Scene, work: dict[str, Work] | None = None) -> Actors:
    acting = Actors(PLACE, [customer(*scenes, work=work)], {"team": 1.0}, world.client)
    async with asyncio.timeout(20):
        await acting.sign_up()
        await acting.play()
    return acting


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "TICK", 0.001)


async def test_signing_up_is_repeated_and_an_event_is_sent_once() -> None:
    world = World()

    acting = await play(world, Scene(Day(1), Uses("report.published", times=2)), CANCEL)

    first, again = world.posted("/v1/onboardings")
    assert first == again
    (events,) = world.posted("/v1/events")
    assert [one["id"] for one in events] == ["c-1-scene-1-1", "c-1-scene-1-2"]
    assert acting.troubles == []
    assert acting.all_over


async def test_what_could_not_be_done_is_done_again() -> None:
    world = World()
    failures = iter([httpx.Response(503), httpx.Response(429), httpx.Response(504)])
    world.first = lambda request: next(failures, None) if request.url.path == "/v1/events" else None

    acting = await play(world, Scene(Day(1), Uses("login")), CANCEL)

    assert len(world.posted("/v1/events")) == 4
    assert len({str(body) for body in world.posted("/v1/events")}) == 1
    assert acting.troubles == []


async def test_what_never_can_be_done_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "PATIENCE", 3)
    world = World()
    world.first = lambda request: {
        "/v1/events": httpx.Response(500, text="broken"),
        "/v1/onboardings/c-1/pause": httpx.Response(409, text="paused already"),
    }.get(request.url.path)

    acting = await play(world, Scene(Day(1), Uses("login")), Scene(Day(2), Orders("pause")), CANCEL)

    assert [text for _, text in acting.troubles] == [
        "scene-1: Failed 500 broken",
        "scene-2: 409 paused already",
    ]
    assert len(world.posted("/v1/events")) == 3


async def test_an_answer_goes_through_the_page_behind_the_link_of_the_message_that_came() -> None:
    world = World()
    world.status["steps"] = [{"step": "nps", "phase": "open"}]
    world.letters = [
        {
            "key": effect_key("c-1", 1, "nps", "run", 1, 0),
            "number": 7,
            "received_at": (datetime.now(UTC) - timedelta(days=5)).isoformat(),
        }
    ]

    acting = await play(
        world, Scene(After("nps", 1), Rates("nps", 9)), Scene(After("nps", 2), OptsOut("nps")), CANCEL
    )

    assert world.posted("/s/token") == ["score=9"]
    assert world.posted("/u/token") == ["List-Unsubscribe=One-Click"]
    assert acting.answered == {"c-1": ["nps"]}
    assert acting.troubles == []


async def test_operators_retry_what_failed_and_do_the_tasks_that_are_open() -> None:
    world = World()
    world.status |= {
        "steps": [{"step": "sso", "phase": "failed"}],
        "tasks": [{"step": "plan", "state": "open"}, {"step": "old", "state": "closed"}],
    }

    def mend(request: httpx.Request) -> None:
        if request.url.path.endswith("/retry"):
            world.status["steps"] = []
        elif request.url.path.endswith("/complete"):
            world.status["tasks"] = []
        if not world.status["steps"] and not world.status["tasks"]:
            world.status["status"] = "completed"

    world.first = mend
    work = {"plan": Work(0, {"go_live": "2026-05-01"})}
    acting = Actors(PLACE, [customer(work=work)], {"team": 1_000_000.0}, world.client)
    async with asyncio.timeout(20):
        await acting.sign_up()
        await acting.play()

    onboarding = "/v1/onboardings/c-1"
    assert [body["step"] for body in world.posted(f"{onboarding}/retry")] == ["sso"]
    assert [body["step"] for body in world.posted(f"{onboarding}/complete")] == ["plan"]
    assert [body["traits"] for body in world.posted(f"{onboarding}/traits")] == [{"go_live": "2026-05-01"}]
    assert all(body["actor"] for path, body in world.calls if path.startswith(f"{onboarding}/"))
    assert acting.troubles == []
