"""The progress display fits into the terminal there is, and without one says everything in plain lines."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from random import Random

import pytest
from rich.console import Console
from rich.text import Text

from firstmile.demo import report
from firstmile.demo.audit import Finding, Summary
from firstmile.demo.cast import CAST
from firstmile.demo.display import Lines, Screen, display, picture
from firstmile.demo.observer import Sight
from firstmile.demo.words import told, upcoming
from firstmile.journey.durations import DAY
from firstmile.journey.instants import parse_instant
from firstmile.journey.journal import Entry
from tests.demo.rehearsal import Rehearsal

AT = parse_instant("2026-11-22T03:00:00Z")
PLACES = (
    ("Console", "http://127.0.0.1:15800/console"),
    ("Inbox", "http://127.0.0.1:15825/"),
    ("Temporal", "http://127.0.0.1:15833/"),
    ("Metrics", "http://127.0.0.1:15800/metrics"),
)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def sights(day: float) -> list[Sight]:
    found = []
    for customer in CAST:
        played = Rehearsal(customer, AT, Random(1)).play(until=AT + int(day * DAY))
        entries = sorted(played.entries, key=lambda entry: (entry.at, entry.number))
        said = [((entry.at - AT) / DAY, words) for entry in entries if (words := told(entry)) is not None]
        value = [entry.seconds / 86_400 for entry in entries if entry.seconds is not None]
        now = AT + int(day * DAY)
        view = played.engine.view()
        found.append(
            Sight(
                customer, day, now, view, said[-1][1], said, len(played.sent), 0, value[0] if value else None
            )
        )
    return found


def drawn(width: int, height: int, day: float) -> list[str]:
    console = Console(width=width, height=height, force_terminal=True, color_system=None, file=io.StringIO())
    with console.capture() as captured:
        console.print(picture(sights(day), PLACES, width, height, 61.0))
    return captured.get().splitlines()


@pytest.mark.parametrize("day", [0.0, 0.4, 12.0, 40.0, 110.0])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 50), (120, 40), (200, 60), (60, 30)])
def test_the_picture_fits_into_the_terminal(width: int, height: int, day: float) -> None:
    lines = drawn(width, height, day)

    assert all(Text(line).cell_len <= width for line in lines)
    unfinished = sum(not sight.over for sight in sights(day))
    assert len(lines) <= max(height - 1, unfinished + 10)


def test_the_picture_names_every_segment_every_customer_and_the_addresses() -> None:
    text = "\n".join(drawn(120, 50, 12.0))

    for customer in CAST:
        assert customer.name in text
    for word in ("self serve", "team", "enterprise", "onboarded", "1:01", *dict(PLACES).values()):
        assert word in text


def test_who_has_finished_is_counted_where_there_is_no_room() -> None:
    low, high = "\n".join(drawn(80, 18, 40.0)), "\n".join(drawn(80, 50, 40.0))

    assert re.search(r"… and \d+ who have finished", low)
    assert "who have finished" not in high
    assert "Katrin Voss" in low


def test_without_a_terminal_everything_is_said_in_plain_lines() -> None:
    file = io.StringIO()
    lines = display(Console(file=file))
    assert isinstance(lines, Lines)
    assert isinstance(display(Console(force_terminal=True, file=io.StringIO())), Screen)

    lines.begin(PLACES)
    lines.show(sights(120.0))
    lines.show([replace(sight, news=()) for sight in sights(120.0)], "everybody has finished")
    lines.show([replace(sight, news=()) for sight in sights(120.0)], "everybody has finished")
    lines.end()

    said = file.getvalue()
    assert CONTROL.search(said) is None
    assert "Console   http://127.0.0.1:15800/console\n" in said
    assert re.search(r"^day +0\.\d\d  self_serve  Camila Duarte +welcome sent$", said, re.MULTILINE)
    assert re.search(r"Priyanka Nair +workspace failed: HTTP 422$", said, re.MULTILINE)
    assert re.search(r"Ruby Callahan +paused: on holiday", said)
    assert said.count("everybody has finished") == 1


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (Entry(1, 1, "done", "team_101", "email"), "team 101 sent"),
        (Entry(1, 1, "occurred", "nps", "survey", occurrence=1), "nps: reminded"),
        (Entry(1, 1, "occurred", "nps", "survey", reason="an answer came after"), None),
        (Entry(1, 1, "scheduled", "nps", "survey"), None),
        (Entry(1, 1, "failed", "sso", "provision", reason="HTTP 500"), "sso failed: HTTP 500"),
        (Entry(1, 1, "completed", reason="ended"), "completed: ended"),
        (Entry(1, 1, "onboarded", seconds=1.0), "onboarded"),
        (Entry(1, 1, "stage", stage="first use"), None),
    ],
)
def test_a_journal_entry_in_a_few_words(entry: Entry, words: str | None) -> None:
    assert told(entry) == words


def test_what_comes_next_is_the_first_that_is_due() -> None:
    view = sights(12.0)[0].view
    assert view is not None
    now = AT + 12 * DAY

    cases: list[tuple[dict[str, tuple[str, int | None]], str]] = [
        ({"a": ("scheduled", now + 3 * DAY), "b_c": ("scheduled", now + DAY)}, "b c in 1.0 d"),
        ({"a": ("scheduled", now)}, "a now"),
        ({"a": ("open", None), "b": ("open", now)}, "waits: a, b"),
        ({"a": ("done", now)}, "ends in 30 d"),
    ]
    for steps, words in cases:
        assert upcoming(replace(view, status="active", steps=steps, ends=now + 30 * DAY), now, DAY) == words
    assert upcoming(replace(view, status="stuck", steps={"a": ("failed", now)}), now, DAY).endswith(": a")
    assert upcoming(replace(view, status="paused"), now, DAY) == "paused"


def test_the_report_has_a_line_for_every_segment_and_every_finding() -> None:
    file = io.StringIO()
    summaries = [
        Summary("self_serve", 6, 4, 2.25, 31, 6, 6, 0, 0, 0),
        Summary("team", 5, 0, None, 36, 9, 4, 1, 0, 0),
    ]
    report.show(
        Console(file=file, width=80), summaries, [Finding("stuck", "team", "tm-ruby", "is still paused")]
    )

    text = file.getvalue()
    assert CONTROL.search(text) is None
    assert re.search(r"self serve +6 +4 +2\.2 d +31 +6 +0 +0 +0", text)
    assert re.search(r"team +5 +0 +– +36 +9 +1 +0 +0", text)
    assert re.search(r"all +11 +4 +67 +15 +1 +0 +0", text)
    assert "stuck      tm-ruby      is still paused" in text

    file = io.StringIO()
    report.show(Console(file=file, width=80), summaries, [], {"not sent again: it is there": 2})
    assert "Nothing was lost" in file.getvalue()
    assert "Decided 2 times of a message: not sent again: it is there" in file.getvalue()
