"""The stand-in for SendGrid refuses what SendGrid refuses, keeps what it took, and shows it to people."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from firstmile.standins.sendgrid import sendgrid_standin
from firstmile.standins.serving import serve_in_thread

KEY = {"Authorization": "Bearer SG.x"}


def body(**changes: Any) -> dict[str, Any]:
    person = {"to": [{"email": "ann@customer.example", "name": "Ann Lee"}], "custom_args": {"fm_key": "k"}}
    whole = {
        "personalizations": [person],
        "from": {"email": "hello@acme.example", "name": "Acme"},
        "subject": "Hello <b>Ann</b>",
        "content": [
            {"type": "text/plain", "value": "Hi Ann,\n\nThe first words."},
            {"type": "text/html", "value": "<html><head></head><body><p>Hi</p></body></html>"},
        ],
        "categories": ["lifecycle", "segment-team"],
    }
    return whole | changes


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_in_thread(sendgrid_standin()) as place:
        yield place.url


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=5) as client:
        await client.delete("/_standin/messages")
        await client.delete("/_standin/faults")
        yield client


async def send(client: httpx.AsyncClient, **changes: Any) -> httpx.Response:
    return await client.post("/v3/mail/send", json=body(**changes), headers=KEY)


async def test_a_message_is_taken_and_kept(client: httpx.AsyncClient) -> None:
    answer = await send(client)
    assert answer.status_code == 202
    identity = answer.headers["X-Message-Id"]
    record = (await client.get("/_standin/messages")).json()
    assert record["sent"] == {"k": 1}
    assert record["messages"][0]["id"].startswith(identity + ".")
    assert (await client.get(f"/_standin/messages/{record['messages'][0]['number']}")).json() == body()


async def test_without_a_key_nobody_is_let_in(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Bearer None"}, {"Authorization": "SG.x"}):
        assert (await client.post("/v3/mail/send", json=body(), headers=headers)).status_code == 401
        assert (await client.post("/v3/logs", json={}, headers=headers)).status_code == 401
    with serve_in_thread(sendgrid_standin(api_key="SG.right")) as place:
        async with httpx.AsyncClient(base_url=place.url, trust_env=False) as other:
            assert (await send(other)).status_code == 401
            right = {"Authorization": "Bearer SG.right"}
            assert (await other.post("/v3/mail/send", json=body(), headers=right)).status_code == 202


def person(**changes: Any) -> list[dict[str, Any]]:
    return [{"to": [{"email": "ann@customer.example"}]} | changes]


ATTACHMENT = {"content": base64.b64encode(b"x").decode(), "filename": "a.ics", "type": "text/calendar"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": person() * 1001}, "personalizations"),
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": person(to=[{"email": "nobody"}])}, "personalizations.0.to.0.email"),
        ({"personalizations": person(cc=[{"email": "ANN@customer.example"}])}, "personalizations.0"),
        ({"personalizations": person(custom_args={"n": 1})}, "personalizations.0.custom_args"),
        ({"personalizations": person(custom_args={"n": "x" * 10_000})}, "personalizations.0.custom_args"),
        ({"from": {}}, "from.email"),
        ({"subject": ""}, "subject"),
        ({"subject": "a\nBcc: x"}, "subject"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/html", "value": ""}]}, "content.0.value"),
        (
            {"content": [{"type": "text/html", "value": "a"}, {"type": "text/plain", "value": "a"}]},
            "content",
        ),
        ({"categories": [str(number) for number in range(11)]}, "categories"),
        ({"categories": ["a", "a"]}, "categories"),
        ({"headers": {"Subject": "x"}}, "headers.Subject"),
        ({"headers": {"X-A": "a\r\nb"}}, "headers.X-A"),
        ({"attachments": [ATTACHMENT | {"type": "text/calendar; method=REQUEST"}]}, "attachments.0.type"),
        ({"attachments": [ATTACHMENT | {"content": "not base64!"}]}, "attachments.0.content"),
        ({"attachments": [ATTACHMENT | {"filename": ""}]}, "attachments.0.filename"),
    ],
)
async def test_what_sendgrid_refuses(client: httpx.AsyncClient, changes: dict[str, Any], field: str) -> None:
    answer = await send(client, **changes)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await client.get("/_standin/messages")).json()["count"] == 0


async def test_a_body_that_is_not_json(client: httpx.AsyncClient) -> None:
    plain = {"Content-Type": "text/plain"} | KEY
    assert (await client.post("/v3/mail/send", content="{}", headers=plain)).status_code == 415
    broken = {"Content-Type": "application/json"} | KEY
    assert (await client.post("/v3/mail/send", content="{", headers=broken)).status_code == 400


async def test_the_log_is_searched_and_shows_custom_arguments_in_the_detail_only(
    client: httpx.AsyncClient,
) -> None:
    await send(client)
    await send(client, subject="Other")
    query = (
        "to_email = 'ann@customer.example' AND sg_message_id_created_at > TIMESTAMP \"2020-01-01T00:00:00Z\""
    )
    found = (await client.post("/v3/logs", json={"query": query}, headers=KEY)).json()["messages"]
    assert [entry["subject"] for entry in found] == ["Other", "Hello <b>Ann</b>"]
    assert "custom_args" not in found[0]
    detail = await client.get(f"/v3/logs/{found[0]['sg_message_id']}", headers=KEY)
    assert detail.json()["custom_args"] == {"fm_key": "k"}
    assert (await client.get("/v3/logs/none", headers=KEY)).status_code == 404
    none = {"query": "to_email = 'bo@customer.example'"}
    assert (await client.post("/v3/logs", json=none, headers=KEY)).json()["messages"] == []
    wrong = {"query": "fm_key = 'k'"}
    assert (await client.post("/v3/logs", json=wrong, headers=KEY)).status_code == 400


async def test_a_fault_strikes_as_often_as_told_and_only_where_it_fits(client: httpx.AsyncClient) -> None:
    fault = {"kind": "status", "status": 503, "times": 2, "match": "Other|bo@"}
    assert (await client.post("/_standin/faults", json=fault)).status_code == 201
    assert (await send(client)).status_code == 202
    assert (await send(client, subject="Other")).status_code == 503
    assert (await client.get("/_standin/faults")).json()[0]["times"] == 1
    assert (await send(client, subject="Other")).status_code == 503
    assert (await send(client, subject="Other")).status_code == 202
    assert (await client.get("/_standin/faults")).json() == []


async def test_a_rate_limit_says_until_when(client: httpx.AsyncClient) -> None:
    await client.post("/_standin/faults", json={"kind": "status", "status": 429, "reset_in": 30})
    answer = await send(client)
    assert answer.status_code == 429
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert int(answer.headers["X-RateLimit-Reset"]) > 1_700_000_000


@pytest.mark.parametrize(("when", "kept"), [("before", 0), ("after", 1)])
async def test_a_reset_comes_before_or_after_it_was_taken(
    client: httpx.AsyncClient, when: str, kept: int
) -> None:
    await client.post("/_standin/faults", json={"kind": "reset", "when": when})
    with pytest.raises(httpx.ReadError):
        await send(client)
    assert (await client.get("/_standin/messages")).json()["count"] == kept


def test_what_was_taken_survives_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "messages.sqlite"
    command = [sys.executable, "-m", "firstmile.standins.sendgrid", "--file", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip().removeprefix("inbox: ")
            answer = httpx.post(f"{url}/v3/mail/send", json=body(), headers=KEY, trust_env=False)
            assert answer.status_code == 202
        finally:
            process.kill()
    with serve_in_thread(sendgrid_standin(file)) as place:
        found = httpx.get(f"{place.url}/_standin/messages", trust_env=False)
    assert found.json()["sent"] == {"k": 1}


# ---- the inbox ----


async def test_the_inbox_lists_the_newest_first_and_filters(client: httpx.AsyncClient) -> None:
    await send(client)
    await send(client, subject="Second", personalizations=person(to=[{"email": "bo@customer.example"}]))
    page = (await client.get("/")).text
    assert page.index("Second") < page.index("Hello &lt;b&gt;Ann&lt;/b&gt;")
    assert "The first words." in page
    assert "<title>Inbox (2)</title>" in page
    assert re.search(r'(src|href)="(https?:)?//', page) is None, "no external assets"
    only = (await client.get("/", params={"to": "bo@customer.example", "rows": "true"})).text
    assert "Second" in only
    assert "Hello" not in only
    assert "Second" not in (await client.get("/", params={"q": "ann hello", "rows": "true"})).text
    assert "No message fits" in (await client.get("/", params={"q": "100%"})).text
    assert "No message fits" in (await client.get("/", params={"class": "marketing"})).text


async def test_a_refresh_costs_nothing_while_nothing_is_new(client: httpx.AsyncClient) -> None:
    await send(client)
    first = await client.get("/", params={"rows": "true"})
    tag = {"If-None-Match": first.headers["ETag"]}
    assert (await client.get("/", params={"rows": "true"}, headers=tag)).status_code == 304
    await send(client)
    assert (await client.get("/", params={"rows": "true"}, headers=tag)).status_code == 200


async def test_a_long_list_goes_on_on_another_page(client: httpx.AsyncClient) -> None:
    for number in range(101):
        await send(client, subject=f"Number {number}.")
    page = (await client.get("/")).text
    assert "Number 0." not in page
    older = re.search(r'href="(/\?before=\d+)">Older', page)
    assert older is not None
    assert "Number 0." in (await client.get(older[1])).text


async def test_a_message_is_shown_without_power_over_the_page(client: httpx.AsyncClient) -> None:
    content = [
        {"type": "text/plain", "value": "Plain <words>"},
        {"type": "text/html", "value": "<html><head></head><body><script>alert(1)</script></body></html>"},
    ]
    await send(
        client, content=content, attachments=[ATTACHMENT], headers={"List-Unsubscribe": "<https://u.example>"}
    )
    number = (await client.get("/_standin/messages")).json()["messages"][0]["number"]
    page = (await client.get(f"/messages/{number}")).text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    assert "alert(1)" not in page
    shown = await client.get(f"/messages/{number}/html")
    assert "script-src" not in shown.headers["Content-Security-Policy"]
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    assert "sandbox" in shown.headers["Content-Security-Policy"]
    assert "Plain &lt;words&gt;" in (await client.get(f"/messages/{number}?view=text")).text
    details = (await client.get(f"/messages/{number}?view=details")).text
    assert "&lt;https://u.example&gt;" in details
    assert "fm_key" in details
    file = await client.get(f"/messages/{number}/attachments/0")
    assert file.content == b"x"
    assert file.headers["Content-Type"].startswith("text/calendar")
    assert "a.ics" in file.headers["Content-Disposition"]
    assert (await client.get(f"/messages/{number}/attachments/1")).status_code == 404
    assert (await client.get("/messages/999999")).status_code == 404
