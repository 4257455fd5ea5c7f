"""`firstmile simulate`, by the words of JOURNEYS §6 and §7: what goes in, what comes out, and where."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from firstmile.cli import app

TESTS = Path(__file__).resolve().parents[1]
EXAMPLE = TESTS / "journey" / "example.yaml"
BAD = TESTS / "bad"
PROGRAM = Path(sys.executable).with_name("firstmile")
TEMPLATES = ("welcome", "nudge", "ask", "celebrate", "invite", "check_in")

AT = "2026-03-06T03:00:00Z"
CUSTOMER: dict[str, Any] = {
    "id": "c-1",
    "timezone": "Asia/Tokyo",
    "country": "JP",
    "locale": "ja",
    "traits": {"plan": "pro", "seats": 12},
}
JOURNEY = """\
journey: team
version: 1
title: Team onboarding
traits: {plan: text, seats: number, trial_ends: date?}
onboarded: {milestone: first_login, within: 7 days}
ends: 30 days
stages:
  - {stage: sign-up, until: first_login}
  - {stage: mastery}
stop_when: [{event: subscription.cancelled, undo: true}]
defaults:
  window: {days: mon-fri, from: "09:00", to: "17:00", holidays: skip}
  spread: 30 minutes
steps:
  - id: workspace
    provision: {system: workspace, with: {plan: "{{ traits.plan }}"}, undo: true}
  - id: specialist
    assign: {team: onboarding}
  - id: welcome
    after: [workspace]
    email: {template: welcome, class: transactional}
  - id: first_login
    milestone: {event: user.logged_in}
  - id: nudge
    after: [welcome]
    wait: 2 days
    until: first_login
    email: {template: nudge}
  - id: call
    after: [reached first_login]
    task: {title: Call the customer, owner: specialist}
    within: 5 days
  - id: nps
    after: [reached first_login]
    wait: 3 days
    survey: {kind: nps, template: ask, remind: 2 days, low: 6}
    within: 7 days
"""


class Desk:
    """A folder with a journey, its templates and a customer; `simulate` runs the command there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for template in TEMPLATES:
            (folder / "templates" / template).mkdir(parents=True)
        (folder / "journeys").mkdir()
        self.journey(JOURNEY)
        self.customer(CUSTOMER)
        self.script([])

    def journey(self, text: str) -> None:
        (self.folder / "journeys" / "team.yaml").write_text(text)

    def customer(self, customer: object) -> None:
        (self.folder / "customer.json").write_text(json.dumps(customer))

    def script(self, lines: Sequence[object]) -> None:
        (self.folder / "script.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def simulate(self, *options: str, at: str | None = AT, given: str | None = None) -> Result:
        arguments = [
            "simulate",
            "journeys/team.yaml",
            "--customer",
            "customer.json",
            "--script",
            "script.jsonl",
        ]
        if at is not None:
            arguments += ["--at", at]
        return CliRunner().invoke(app, [*arguments, *options], input=given)

    def entries(self, *script: object, options: Sequence[str] = (), stderr: str = "") -> list[dict[str, Any]]:
        """The journal as `--json` prints it, with nothing but `stderr` on standard error."""
        self.script(script)
        result = self.simulate("--json", *options)
        assert (result.exit_code, result.stderr) == (0, stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def changes(self, step: str | None, *script: object, **options: Any) -> list[str]:
        """What happened to one step, as `day change`, the day counted from 6 March."""
        first = datetime.fromisoformat(AT)
        entries = [entry for entry in self.entries(*script, **options) if entry["step"] == step]
        days = [(datetime.fromisoformat(entry["at"]) - first) // timedelta(days=1) for entry in entries]
        return [f"{day} {entry['change']}" for day, entry in zip(days, entries, strict=True)]

    def timeline(self, *script: object, options: Sequence[str] = ()) -> str:
        self.script(script)
        result = self.simulate(*options)
        assert result.exit_code == 0, result.stderr
        return result.stdout


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)


def event(at: str, name: str, **more: object) -> dict[str, object]:
    return {"at": at, "event": name, **more}


def command(at: str, name: str, **more: object) -> dict[str, object]:
    return {"at": at, "command": name, **more}


def outcome(at: str, step: str, name: str, **more: object) -> dict[str, object]:
    return {"at": at, "step": step, "outcome": name, **more}


LOGIN = event("+1 day", "user.logged_in")


# ---- the journal -----------------------------------------------------------------------------------------


def test_a_line_is_one_compact_object_with_its_keys_in_order(desk: Desk) -> None:
    lines = desk.simulate("--json").stdout.splitlines()

    assert lines[0] == (
        '{"at":"2026-03-06T03:00:00Z","local":"2026-03-06T12:00:00+09:00",'
        '"step":null,"kind":null,"change":"enrolled","reason":null}'
    )
    for line in lines:
        assert list(json.loads(line))[:6] == ["at", "local", "step", "kind", "change", "reason"]
        assert json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False) == line


def test_the_example_of_the_contract(desk: Desk) -> None:
    done = next(
        entry for entry in desk.entries() if entry["step"] == "workspace" and entry["change"] == "done"
    )

    assert done == {
        "at": "2026-03-06T03:00:00Z",
        "local": "2026-03-06T12:00:00+09:00",
        "step": "workspace",
        "kind": "provision",
        "change": "done",
        "reason": None,
    }


def test_the_first_entry_is_the_enrolment_and_the_second_the_first_stage(desk: Desk) -> None:
    first, second, *_ = desk.entries()

    assert (first["change"], first["step"]) == ("enrolled", None)
    assert (second["change"], second["stage"], second["step"]) == ("stage", "sign-up", None)


def test_entries_are_in_time_order(desk: Desk) -> None:
    times = [entry["at"] for entry in desk.entries(LOGIN, command("+3 days", "pause"))]

    assert times == sorted(times)


def test_scheduled_carries_the_due_time_after_window_and_spread(desk: Desk) -> None:
    (scheduled,) = (e for e in desk.entries() if e["step"] == "nudge" and e["change"] == "scheduled")

    # Two days after Friday is Sunday: Monday's opening at 09:00 in Tokyo, and up to 30 minutes of spread.
    assert "2026-03-09T00:00:00Z" < scheduled["due"] < "2026-03-09T00:30:00Z"
    assert scheduled["at"] == AT


def test_scheduled_is_written_again_when_it_moves(desk: Desk) -> None:
    entries = desk.entries(command("+1 hour", "pause"), command("+7 days", "resume"))
    dues = [e["due"] for e in entries if e["step"] == "nudge" and e["change"] == "scheduled"]

    assert len(dues) == 2
    assert dues[1] > dues[0]


def test_only_scheduled_has_a_due_time(desk: Desk) -> None:
    assert {entry["change"] for entry in desk.entries(LOGIN) if "due" in entry} == {"scheduled"}


@pytest.mark.parametrize(
    ("at", "seconds"), [("+5 days 2 hours", 439_200), ("2026-03-06T03:00:00.250Z", 0.25), ("+0 days", 0)]
)
def test_onboarded_carries_the_seconds_since_enrolment(desk: Desk, at: str, seconds: float) -> None:
    (onboarded,) = (e for e in desk.entries(event(at, "user.logged_in")) if e["change"] == "onboarded")

    assert onboarded["seconds"] == seconds
    assert isinstance(onboarded["seconds"], type(seconds))
    assert onboarded["step"] is None


def test_a_stage_is_entered_with_its_milestone(desk: Desk) -> None:
    stages = [(e["local"][:10], e["stage"]) for e in desk.entries(LOGIN) if e["change"] == "stage"]

    assert stages == [("2026-03-06", "sign-up"), ("2026-03-07", "mastery")]


def test_what_came_late_says_so_and_nothing_else_does(desk: Desk) -> None:
    entries = desk.entries(LOGIN, command("+9 days", "complete", step="call"))

    assert [(e["step"], e["change"]) for e in entries if e.get("late")] == [("call", "done")]
    assert all(entry.get("late", True) is True for entry in entries)


def test_a_reminder_carries_its_occurrence(desk: Desk) -> None:
    reminders = [
        e["occurrence"] for e in desk.entries(LOGIN) if e["step"] == "nps" and e["change"] == "occurred"
    ]

    assert reminders == [1, 2, 3]


def test_what_an_operator_did_carries_the_actor(desk: Desk) -> None:
    entries = desk.entries(
        LOGIN,
        command("+2 days", "pause", actor="ann", reason="on holiday"),
        command("+3 days", "resume", actor="bo"),
        command("+4 days", "complete", step="call", actor="cy"),
        command("+5 days", "cancel", actor="di", reason="moved away"),
    )

    assert [(e["change"], e["actor"], e["reason"]) for e in entries if "actor" in e] == [
        ("paused", "ann", "on holiday"),
        ("resumed", "bo", None),
        ("done", "cy", None),
        ("stopped", "di", "moved away"),
    ]


def test_the_warnings_of_check_are_not_printed_with_the_journal(desk: Desk) -> None:
    desk.journey(JOURNEY.replace("    after: [workspace]\n", ""))

    assert desk.entries(stderr="")
    assert "warning" in desk.simulate().stderr


# ---- inputs ----------------------------------------------------------------------------------------------


def test_inputs_happen_at_their_time_whatever_the_order_of_the_lines(desk: Desk) -> None:
    script = [
        event("+4 days", "user.logged_in"),
        command("+2 days", "pause"),
        command("+1 day", "skip", step="nudge"),
        command("+3 days", "resume"),
    ]

    assert desk.entries(*script) == desk.entries(*reversed(script))
    assert desk.changes("nudge", *script)[-1] == "1 skipped"


def test_at_one_instant_inputs_happen_in_the_order_of_the_lines(desk: Desk) -> None:
    changes = desk.changes(None, command("+1 day", "pause"), command("+1 day", "resume"))

    assert changes[2:4] == ["1 paused", "1 resumed"]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-03-08T09:30:00+01:00", "2026-03-08T08:30:00Z"),
        ("2026-03-08t08:30:00z", "2026-03-08T08:30:00Z"),
        (AT, AT),
        ("+0 days", AT),
        ("+2 days 4 hours", "2026-03-08T07:00:00Z"),
        ("+ 2 days", "2026-03-08T03:00:00Z"),
        ("+1 week", "2026-03-13T03:00:00Z"),
        ("+P2D", "2026-03-08T03:00:00Z"),
        ("+PT90M", "2026-03-06T04:30:00Z"),
        ("+1 business day", "2026-03-09T03:00:00Z"),
        # 20 March 2026 is a holiday in Japan.
        ("+10 business days", "2026-03-23T03:00:00Z"),
    ],
)
def test_a_time_is_an_instant_or_an_offset_on_the_customers_calendar(
    desk: Desk, at: str, expected: str
) -> None:
    (done,) = (
        e
        for e in desk.entries(event(at, "user.logged_in"))
        if (e["step"], e["change"]) == ("first_login", "done")
    )

    assert done["at"] == expected


def test_offsets_are_calendar_days_where_the_clocks_change(desk: Desk) -> None:
    desk.customer({**CUSTOMER, "timezone": "America/New_York", "country": "US"})
    (done,) = (
        e
        for e in desk.entries(event("+2 days 4 hours", "user.logged_in"))
        if (e["step"], e["change"]) == ("first_login", "done")
    )

    # Enrolled on 5 March at 22:00 in New York; the clocks go forward on 8 March at 02:00.
    assert done["local"] == "2026-03-08T03:00:00-04:00"


def test_an_event_without_an_id_is_one_of_its_own_and_an_id_counts_once(desk: Desk) -> None:
    desk.journey(JOURNEY.replace("{event: user.logged_in}", "{event: user.logged_in, times: 3}"))
    unnamed = [event(f"+{day} days", "user.logged_in") for day in (1, 2, 3)]
    same = [event(f"+{day} days", "user.logged_in", id="e1") for day in (1, 2, 3)]

    assert "3 done" in desk.changes("first_login", *unnamed)
    assert "3 done" not in desk.changes("first_login", *same)


def test_blank_lines_and_a_byte_order_mark_are_no_lines(desk: Desk) -> None:
    (desk.folder / "script.jsonl").write_bytes(
        b"\xef\xbb\xbf" + b'\r\n  \r\n{"at": "+1 day", "event": "user.logged_in"}\r\n\r\n'
    )

    assert '"onboarded"' in desk.simulate("--json").stdout


def test_a_script_is_not_needed(desk: Desk) -> None:
    result = CliRunner().invoke(
        app, ["simulate", "journeys/team.yaml", "--customer", "customer.json", "--at", AT, "--json"]
    )

    assert result.exit_code == 0
    assert json.loads(result.stdout.splitlines()[-1])["change"] == "completed"


def test_without_a_time_the_enrolment_is_now(desk: Desk) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    first = json.loads(desk.simulate("--json", at=None).stdout.splitlines()[0])

    assert before <= datetime.fromisoformat(first["at"]) <= datetime.now(UTC)
    assert "." not in first["at"]


@pytest.mark.parametrize("file", ["customer", "script"])
def test_a_dash_is_standard_input(desk: Desk, file: str) -> None:
    desk.script([LOGIN])
    content = (desk.folder / {"customer": "customer.json", "script": "script.jsonl"}[file]).read_text()

    assert desk.simulate("--json", f"--{file}", "-", given=content).stdout == desk.simulate("--json").stdout


def test_standard_input_cannot_be_both(desk: Desk) -> None:
    result = desk.simulate("--customer", "-", "--script", "-", given=json.dumps(CUSTOMER))

    assert (result.exit_code, result.stdout) == (2, "")
    assert "give one of the two as a file" in result.stderr


# ---- effects ---------------------------------------------------------------------------------------------


def test_an_effect_succeeds_at_once_and_takes_no_time(desk: Desk) -> None:
    assert desk.changes("workspace")[:3] == ["0 scheduled", "0 running", "0 done"]


def test_an_outcome_is_what_the_next_effect_will_meet(desk: Desk) -> None:
    changes = desk.changes("workspace", outcome("+0 days", "workspace", "failed", reason="HTTP 500"))

    assert changes[:3] == ["0 scheduled", "0 running", "0 failed"]


def test_outcomes_of_one_step_are_met_one_after_the_other(desk: Desk) -> None:
    changes = desk.changes(
        "workspace",
        outcome("+0 days", "workspace", "failed"),
        outcome("+0 days", "workspace", "failed"),
        command("+1 day", "retry", step="workspace"),
        command("+2 days", "retry", step="workspace"),
    )

    assert [change for change in changes if "scheduled" not in change and "running" not in change] == [
        "0 failed",
        "1 failed",
        "2 done",
    ]


def test_an_outcome_carries_its_reason(desk: Desk) -> None:
    entries = desk.entries(outcome("+0 days", "workspace", "failed", reason="HTTP 500"))

    assert [e["reason"] for e in entries if e["change"] == "failed"] == ["HTTP 500"]


def test_an_outcome_after_the_effect_waits_for_another(desk: Desk) -> None:
    changes = desk.changes("workspace", outcome("+1 day", "workspace", "failed"))

    assert changes == ["0 scheduled", "0 running", "0 done"]


def test_skipped_settles_the_step(desk: Desk) -> None:
    script = outcome("+0 days", "welcome", "skipped", reason="unsubscribed")

    assert desk.changes("welcome", script)[-1] == "0 skipped"
    assert "2 running" in desk.changes("nudge", script)


def test_deferred_is_tried_again_at_its_time(desk: Desk) -> None:
    script = outcome("+0 days", "welcome", "deferred", until="+4 days", reason="HTTP 429")
    entries = [e for e in desk.entries(script) if e["step"] == "welcome"]

    assert [e["change"] for e in entries] == ["scheduled", "running", "scheduled", "running", "done"]
    assert (entries[2]["due"], entries[2]["reason"]) == ("2026-03-10T03:00:00Z", "HTTP 429")
    assert entries[4]["at"] == "2026-03-10T03:00:00Z"


@pytest.mark.parametrize(("name", "then"), [("done", "3 done"), ("failed", "3 failed")])
def test_pending_runs_until_a_later_line(desk: Desk, name: str, then: str) -> None:
    script = (outcome("+0 days", "workspace", "pending"), outcome("+3 days", "workspace", name))

    assert desk.changes("workspace", *script)[:3] == ["0 scheduled", "0 running", then]


def test_what_waits_for_a_pending_step_waits(desk: Desk) -> None:
    script = (outcome("+0 days", "workspace", "pending"), outcome("+3 days", "workspace", "done"))

    assert desk.changes("welcome", *script) == ["3 scheduled", "3 running", "3 done"]


def test_a_result_is_what_later_steps_read(desk: Desk) -> None:
    desk.journey(
        JOURNEY.replace(
            "    email: {template: nudge}", "    when: result('workspace').old\n    email: {template: nudge}"
        )
    )

    assert (
        desk.changes("nudge", outcome("+0 days", "workspace", "done", result={"old": True}))[-1] == "2 done"
    )
    assert (
        desk.changes("nudge", outcome("+0 days", "workspace", "done", result={"old": False}))[-1]
        == "2 skipped"
    )


# ---- commands --------------------------------------------------------------------------------------------


def test_pause_and_resume(desk: Desk) -> None:
    script = (command("+1 day", "pause"), command("+11 days", "resume"))

    assert desk.changes(None, *script)[2:4] == ["1 paused", "11 resumed"]
    # What had been due after two days is due after twelve, and `ends` moves with it.
    assert desk.changes("nudge", *script)[-1] == "12 done"
    assert desk.changes(None, *script)[-1] == "40 completed"


def test_a_pause_with_an_end_ends_by_itself(desk: Desk) -> None:
    for until in ("+11 days", "2026-03-17T03:00:00Z"):
        assert desk.changes(None, command("+1 day", "pause", until=until))[2:4] == ["1 paused", "11 resumed"]


@pytest.mark.parametrize(
    ("overdue", "nudge"), [("shift", "12 done"), ("run", "11 done"), ("skip", "11 skipped")]
)
def test_resume_takes_overdue(desk: Desk, overdue: str, nudge: str) -> None:
    script = (command("+1 day", "pause"), command("+11 days", "resume", overdue=overdue))

    assert desk.changes("nudge", *script)[-1] == nudge


def test_skip(desk: Desk) -> None:
    assert desk.changes("nudge", command("+1 day", "skip", step="nudge")) == ["0 scheduled", "1 skipped"]


def test_retry(desk: Desk) -> None:
    script = (outcome("+0 days", "workspace", "failed"), command("+1 day", "retry", step="workspace"))

    assert desk.changes("workspace", *script)[-1] == "1 done"


def test_run_now(desk: Desk) -> None:
    assert desk.changes("nudge", command("+1 day", "run_now", step="nudge"))[-1] == "1 done"


def test_complete(desk: Desk) -> None:
    assert desk.changes("call", LOGIN, command("+2 days", "complete", step="call"))[-1] == "2 done"


@pytest.mark.parametrize(("undo", "undone"), [({}, 0), ({"undo": False}, 0), ({"undo": True}, 1)])
def test_cancel(desk: Desk, undo: dict[str, bool], undone: int) -> None:
    entries = desk.entries(command("+1 day", "cancel", **undo))

    assert (entries[-1]["change"], entries[-1]["local"][:10]) == ("stopped", "2026-03-07")
    assert [e["step"] for e in entries if e["change"] == "undone"] == ["workspace"] * undone


def test_traits(desk: Desk) -> None:
    desk.journey(JOURNEY.replace("    wait: 2 days\n", "    wait: 2 days before trial_ends\n"))
    script = (
        command("+1 day", "traits", traits={"trial_ends": "2026-03-27"}),
        command("+2 days", "traits", traits={"trial_ends": "2026-03-31"}),
    )
    dues = [
        e["due"][:10] for e in desk.entries(*script) if e["step"] == "nudge" and e["change"] == "scheduled"
    ]

    # Two days before is a midnight, when the window is closed: the opening before it, on a working day.
    assert dues == ["2026-03-24", "2026-03-27"]


def test_assign(desk: Desk) -> None:
    entries = desk.entries(command("+1 day", "assign", step="specialist", owner="eva", actor="ann"))

    assert [e["actor"] for e in entries if e["step"] == "specialist" and "actor" in e] == ["ann"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([command("+1 day", "run_now", step="call")], "waits for reached first_login"),
        ([command("+1 day", "traits", traits={"seats": "many"})], "trait 'seats' must be a number"),
        ([command("+1 day", "complete", step="welcome")], "is not a task"),
        ([command("+1 day", "retry", step="nudge")], "has not failed"),
        ([command("+1 day", "resume")], "is not paused"),
        ([command("+1 day", "pause", until="+12 hours")], "lies in the past"),
        ([command("+1 day", "skip", step="welcome")], "is done already"),
        ([command("+31 days", "skip", step="nps")], "completed"),
        ([command("+2 days", "skip", step="nps"), command("+1 day", "cancel")], "stopped"),
    ],
)
def test_a_rejected_command_has_no_effect_and_its_reason_on_standard_error(
    desk: Desk, lines: list[object], reason: str
) -> None:
    without = desk.entries(*lines[1:])
    desk.script(lines)
    result = desk.simulate("--json")

    assert result.exit_code == 0
    assert [json.loads(line) for line in result.stdout.splitlines()] == without
    assert result.stderr.startswith("script.jsonl:1: the command was rejected: ")
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


# ---- how far it goes -------------------------------------------------------------------------------------


def test_a_journey_runs_to_its_end(desk: Desk) -> None:
    entries = desk.entries()

    assert (entries[-1]["change"], entries[-1]["reason"]) == ("completed", "ended")
    assert entries[-1]["at"] == "2026-04-05T03:00:00Z"


@pytest.mark.parametrize("until", ["10 days", "+10 days", "P10D", "2026-03-16T03:00:00Z"])
def test_until_is_an_instant_or_a_duration_since_enrolment(desk: Desk, until: str) -> None:
    entries = desk.entries(LOGIN, options=["--until", until])

    assert "2026-03-15" < entries[-1]["at"] <= "2026-03-16T03:00:00Z"


def test_until_is_inclusive(desk: Desk) -> None:
    entries = desk.entries(options=["--until", "30 days"])

    assert entries[-1]["change"] == "completed"


def test_until_on_the_customers_calendar(desk: Desk) -> None:
    # Friday to Tuesday: working days.
    entries = desk.entries(event("+4 days", "user.logged_in"), options=["--until", "2 business days"])

    assert "onboarded" in [e["change"] for e in entries]


def test_a_paused_run_ends_when_nothing_can_wake_it(desk: Desk) -> None:
    assert desk.changes(None, command("+1 day", "pause"))[-1] == "1 paused"
    assert desk.changes(None, command("+1 day", "pause"), options=["--until", "200 days"])[-1] == "1 paused"


def test_a_stuck_run_ends_at_until_or_with_the_journey(desk: Desk) -> None:
    script = outcome("+0 days", "workspace", "failed")

    assert desk.changes(None, script, options=["--until", "5 days"]) == ["0 enrolled", "0 stage"]
    assert desk.changes(None, script)[-1] == "30 completed"


def test_a_stuck_run_without_an_end_ends_when_nothing_can_wake_it(desk: Desk) -> None:
    desk.journey(
        "journey: team\nversion: 1\nonboarded: {milestone: value}\nsteps:\n"
        "  - {id: workspace, provision: {system: workspace}, within: 9 days}\n"
        "  - {id: value, milestone: {event: user.logged_in}, within: 5 days}\n"
    )

    assert desk.changes(None, outcome("+0 days", "workspace", "failed")) == ["0 enrolled"]


# ---- the customer ----------------------------------------------------------------------------------------


def test_the_customers_time_zone_is_that_of_the_file_else_the_default_else_utc(desk: Desk) -> None:
    def local(journey: str, **customer: object) -> str:
        desk.journey(journey)
        desk.customer({"id": "c-1", "traits": CUSTOMER["traits"], **customer})
        return str(desk.entries()[0]["local"])

    with_default = JOURNEY.replace("defaults:\n", "defaults:\n  timezone: Europe/Berlin\n")

    assert local(with_default, timezone="Asia/Tokyo") == "2026-03-06T12:00:00+09:00"
    assert local(with_default) == "2026-03-06T04:00:00+01:00"
    assert local(with_default, timezone=None) == "2026-03-06T04:00:00+01:00"
    assert local(JOURNEY) == "2026-03-06T03:00:00+00:00"


def test_one_file_serves_simulation_and_sign_up(desk: Desk) -> None:
    plain = desk.entries()
    desk.customer(
        {
            **CUSTOMER,
            "segment": "enterprise",
            "email": "ann@example.com",
            "name": "Ann",
            "company": "Acme",
            "contacts": [{"role": "admin", "email": "bo@example.com"}],
            "consent": {"lifecycle": False},
            "speed": 1000,
        }
    )

    assert desk.entries() == plain


def test_steps_that_were_done_before_sign_up_are_skipped(desk: Desk) -> None:
    desk.customer({**CUSTOMER, "skip": ["welcome"]})

    assert desk.changes("welcome") == ["0 skipped"]


def test_undeclared_traits_are_accepted(desk: Desk) -> None:
    desk.customer({**CUSTOMER, "traits": {**CUSTOMER["traits"], "colour": "red"}})

    assert desk.entries()[-1]["change"] == "completed"


# ---- what is refused -------------------------------------------------------------------------------------


def refused(desk: Desk, *options: str, **more: Any) -> list[str]:
    """The lines on standard error of a simulation that is refused, and prints nothing else."""
    result = desk.simulate(*options, **more)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.splitlines()


@pytest.mark.parametrize("file", sorted(BAD.glob("scripts/*.jsonl")), ids=lambda file: file.stem)
def test_a_bad_script_is_refused_with_every_error(desk: Desk, file: Path) -> None:
    (desk.folder / file.name).write_bytes(file.read_bytes())

    assert refused(desk, "--script", file.name) == file.with_suffix(".expected").read_text().splitlines()


@pytest.mark.parametrize("file", sorted(BAD.glob("customers/*.json")), ids=lambda file: file.stem)
def test_a_bad_customer_is_refused_with_every_error(desk: Desk, file: Path) -> None:
    (desk.folder / file.name).write_bytes(file.read_bytes())

    assert refused(desk, "--customer", file.name) == file.with_suffix(".expected").read_text().splitlines()


def test_a_journey_that_does_not_pass_check_is_refused(desk: Desk) -> None:
    desk.journey(JOURNEY.replace("[reached first_login]", "[reached frist_login]", 1))

    (line,) = refused(desk, "--json")
    assert line.startswith("journeys/team.yaml:30: ")
    assert "first_login" in line


def test_all_errors_of_all_files_are_told_at_once(desk: Desk) -> None:
    desk.journey(JOURNEY.replace("wait: 2 days", "wait: 2 dais").replace("template: ask", "template: aks"))
    desk.customer({**CUSTOMER, "timezone": "Asia/Tokio"})
    desk.script([{"at": "+1 day", "comand": "pause"}, command("+1 day", "skip", step="npss")])

    lines = refused(desk, "--until", "soon", at="yesterday")

    assert [line.split(": ")[0] for line in lines] == [
        "--at",
        "--until",
        "journeys/team.yaml:26",
        "journeys/team.yaml:36",
        "customer.json:1",
        "script.jsonl:1",
    ]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--at", "2026-03-06T03:00:00", "write it with its offset"),
        ("--at", "2026-03-06", "write it with its offset"),
        ("--at", "2026-02-30T03:00:00Z", "no such date"),
        ("--at", "1890-01-01T00:00:00Z", "outside the years 1971 to 2199"),
        ("--at", "", "is not an instant"),
        ("--until", "banana", "'banana' is not a duration"),
        ("--until", "30", "'30' has no unit: write for instance '30 days'"),
        ("--until", "2026-03-06T02:59:59Z", "lies before the enrolment at 2026-03-06T03:00:00Z"),
        ("--until", "2026-03-08T09:00:00", "write it with its offset"),
        ("--until", "3 days before trial_ends", "is a moment, which only a journey has"),
        ("--until", "9999-12-31T23:59:59Z", "lies after the year 2199"),
        ("--customer", "nobody.json", "nobody.json: cannot be read: No such file"),
        ("--script", "nothing.jsonl", "nothing.jsonl: cannot be read: No such file"),
        ("--script", "journeys", "journeys: cannot be read: Is a directory"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(desk: Desk, option: str, value: str, message: str) -> None:
    (line,) = refused(desk, option, value)

    assert line.startswith((f"{option}: ", f"{value}: "))
    assert message in line


def test_a_journey_that_is_not_there_is_refused(desk: Desk) -> None:
    result = CliRunner().invoke(app, ["simulate", "nowhere.yaml", "--customer", "customer.json"])

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("nowhere.yaml: cannot be read")


def test_a_customer_is_needed(desk: Desk) -> None:
    result = CliRunner().invoke(app, ["simulate", "journeys/team.yaml"])

    assert (result.exit_code, result.stdout) == (2, "")
    assert "--customer" in result.stderr


# ---- templates -------------------------------------------------------------------------------------------


def test_templates_are_looked_for_beside_the_folder_of_journeys(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    result = CliRunner().invoke(
        app,
        [
            "simulate",
            str(desk.folder / "journeys/team.yaml"),
            "--customer",
            str(desk.folder / "customer.json"),
        ],
    )

    assert result.exit_code == 0, result.stderr


def test_templates_are_looked_for_in_the_working_directory_too(desk: Desk) -> None:
    (desk.folder / "deep" / "journeys").mkdir(parents=True)
    (desk.folder / "deep" / "journeys" / "team.yaml").write_text(JOURNEY)
    result = CliRunner().invoke(app, ["simulate", "deep/journeys/team.yaml", "--customer", "customer.json"])

    assert result.exit_code == 0, result.stderr


# ---- the timeline ----------------------------------------------------------------------------------------


def test_the_timeline_of_the_example(desk: Desk) -> None:
    """The whole of it, as a product manager reads it: a change of a word here is a change of the command."""
    desk.journey(EXAMPLE.read_text())
    for name in ("nudge_login", "training_invitation", "trial_ending", "nps"):
        (desk.folder / "templates" / name).mkdir()
    text = desk.timeline(
        event("+2 days", "user.logged_in"),
        command("+3 days", "pause", actor="ann", reason="on holiday"),
        command("+9 days", "resume", actor="ann"),
        outcome("+0 days", "specialist", "done", result={"owner": "eva"}),
        event("+12 days 1 hour", "report.published"),
        event("+12 days 2 hours", "report.published"),
        event("+12 days 3 hours", "report.published"),
        event("+25 days", "survey.responded", properties={"step": "nps", "score": 4}),
        command("+26 days", "complete", step="low_score_call", actor="eva"),
        event("+64 days", "checkin.answered", properties={"step": "check_in", "answer": "help"}),
    )

    assert text == (TESTS / "cli" / "example.txt").read_text()


def test_a_timeline_has_local_times_by_local_day(desk: Desk) -> None:
    desk.customer({**CUSTOMER, "timezone": "America/New_York", "country": "US"})
    lines = desk.timeline(event("+1 day", "user.logged_in")).splitlines()

    assert "  Enrolled     Thursday 5 March 2026, 22:00 (UTC-05:00)" in lines
    assert lines[lines.index("Friday 6 March 2026  day 1") + 1].startswith("  22:00  ✓ first_login")


def test_no_line_is_wider_than_100_columns(desk: Desk) -> None:
    desk.journey(
        JOURNEY.replace("Call the customer", "Call the customer and again " * 20).replace(
            "id: nps", "id: " + "n" * 60
        )
    )
    text = desk.timeline(
        LOGIN,
        command("+2 days", "pause", actor="ann", reason="one long reason after another " * 10),
        outcome("+0 days", "welcome", "failed", reason="https://example.com/" + "x" * 300),
        options=["--until", "10 days"],
    )

    assert max(map(len, text.splitlines())) <= 100


def test_what_comes_from_files_cannot_steer_the_terminal(desk: Desk) -> None:
    text = desk.timeline(command("+1 day", "pause", reason="\x1b[31mred\nand more\t!", actor="a\u202enn"))

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[31mred and more !" in text


def test_messages_that_the_customer_receives_are_marked(desk: Desk) -> None:
    text = desk.timeline(event("+4 days", "user.logged_in"))
    marked = [line.split("✉ ")[1].split()[0] for line in text.split("Summary")[0].splitlines() if "✉" in line]

    assert marked == ["welcome", "nudge", "nps", "nps", "nps", "nps"]


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ([], "First value  not reached (goal: 7 days)"),
        (
            [event("+5 days 2 hours", "user.logged_in")],
            "First value  after 5 days 2 hours (goal: 7 days, met)",
        ),
        ([event("+7 days", "user.logged_in")], "First value  after 7 days (goal: 7 days, met)"),
        (
            [event("+8 days 5 hours", "user.logged_in")],
            "First value  after 8 days 5 hours (goal: 7 days, 1 day 5 hours too late)",
        ),
        ([event("+0 days", "user.logged_in")], "First value  after no time (goal: 7 days, met)"),
        ([], "Messages     ✉ 2 emails (1 lifecycle, 1 transactional)"),
        ([outcome("+0 days", "welcome", "failed")], "Messages     none"),
        (
            [LOGIN],
            "Messages     ✉ 5 in all: 1 email, 1 survey and 3 reminders (4 lifecycle, 1 transactional)",
        ),
        ([LOGIN], "Per week     4 at most (Tue 10 Mar to Mon 16 Mar)"),
        ([LOGIN, command("+2 days", "complete", step="call")], "Tasks        1 for people, 1 completed"),
        ([command("+1 day", "cancel", actor="ann", reason="left")],
         "Ended        stopped by ann, Saturday 7 March 2026, 12:00, day 1 (left)"),
        ([], "Ended        completed, Sunday 5 April 2026, 12:00, day 30 (its time is over)"),
        ([command("+1 day", "pause", actor="ann", reason="holiday")],
         "Ended        not yet: paused, and nothing more happens by itself"),
        ([command("+1 day", "pause", actor="ann", reason="holiday")],
         "Paused       since Sat 7 Mar 12:00 by ann: holiday"),
    ],
)  # fmt: skip
def test_the_summary_says(desk: Desk, script: list[object], line: str) -> None:
    assert f"  {line}" in desk.timeline(*script).splitlines()


def test_a_stuck_run_says_where_it_is_stuck_and_why(desk: Desk) -> None:
    text = desk.timeline(
        outcome("+0 days", "workspace", "failed", reason="HTTP 500"), options=["--until", "5 days"]
    )

    assert "not yet: stuck on Wednesday 11 March 2026, 12:00" in text
    assert "workspace    failed (HTTP 500): retry it, or skip it" in text
    assert "welcome      waits for workspace" in text


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        (
            event("+1 day", "user.loged_in"),
            "nothing in this journey listens to 'user.loged_in': did you mean",
        ),
        (event("+5 days", "survey.responded", properties={"step": "npss"}), 'write "step": "nps"'),
        (outcome("+1 day", "workspace", "failed"), "started no effect from then on"),
        (event("+40 days", "user.logged_in"), "the journey is completed by then"),
    ],
)
def test_a_line_that_changes_nothing_is_pointed_out_beside_the_timeline(
    desk: Desk, line: object, warning: str
) -> None:
    desk.script([line])
    result = desk.simulate()

    assert result.exit_code == 0
    assert result.stderr.startswith("script.jsonl:1: ")
    assert warning in result.stderr
    assert desk.simulate("--json").stderr == ""


def test_a_misspelt_trait_is_pointed_out_beside_the_timeline(desk: Desk) -> None:
    desk.customer({**CUSTOMER, "traits": {**CUSTOMER["traits"], "trial_end": "2026-04-01"}})

    assert "did you mean 'trial_ends'?" in desk.simulate().stderr


# ---- the process -----------------------------------------------------------------------------------------


def arguments(desk: Desk, *options: str) -> list[str]:
    return [
        str(PROGRAM),
        "simulate",
        "journeys/team.yaml",
        "--customer",
        "customer.json",
        "--at",
        AT,
        *options,
    ]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_goes_away_is_no_failure(desk: Desk, options: tuple[str, ...]) -> None:
    desk.journey(
        JOURNEY.replace("ends: 30 days", "ends: 3000 days").replace("remind: 2 days", "remind: 1 hour")
    )
    process = subprocess.Popen(
        arguments(desk, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=desk.folder
    )
    assert process.stdout is not None
    process.stdout.close()
    _, told = process.communicate(timeout=60)

    assert (process.returncode, told) == (0, b"")


def test_a_terminal_that_prints_only_ascii_gets_ascii(desk: Desk) -> None:
    desk.customer({**CUSTOMER, "id": "zoë"})
    for options in ((), ("--json",)):
        shown = subprocess.run(
            arguments(desk, *options),
            cwd=desk.folder, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, check=True,
        )  # fmt: skip
        assert shown.stdout.isascii()
        assert shown.stdout.count(b"\n") > 10


def test_a_terminal_gets_colours_and_a_file_none(desk: Desk) -> None:
    here, there = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    environ.pop("NO_COLOR", None)
    process = subprocess.Popen(arguments(desk), cwd=desk.folder, env=environ, stdout=there, stderr=there)
    os.close(there)
    shown = b""
    while True:
        try:
            read = os.read(here, 65536)
        except OSError:
            break
        if not read:
            break
        shown += read
    os.close(here)

    assert process.wait(timeout=60) == 0
    assert b"\x1b[1mTeam onboarding" in shown
    assert "\x1b" not in desk.simulate().stdout


def test_simulating_loads_nothing_that_it_does_not_need(desk: Desk) -> None:
    desk.customer({"id": "c-1", "traits": CUSTOMER["traits"]})
    program = (
        "import sys; from firstmile.cli import app\n"
        f"try: app({arguments(desk)[1:]!r})\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=desk.folder, capture_output=True, text=True, check=True
    )

    assert "journey completed" in shown.stdout
    loaded = {name.split(".")[0] for name in shown.stderr.split()}
    assert not loaded & {
        "rich",
        "holidays",
        "temporalio",
        "sqlalchemy",
        "fastapi",
        "sendgrid",
        "httpx",
        "babel",
    }
