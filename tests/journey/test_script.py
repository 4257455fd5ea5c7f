"""Reading the customer and the script of a simulation, and telling what came of it, piece by piece."""

from __future__ import annotations

import json
from typing import Any

import pytest

from firstmile.journey.calendar import Calendar
from firstmile.journey.customer import read_customer
from firstmile.journey.durations import DAY, HOUR, MINUTE, SECOND
from firstmile.journey.inputs import Command, Event, Subject
from firstmile.journey.instants import format_instant, parse_instant
from firstmile.journey.json_source import read
from firstmile.journey.model import Journey
from firstmile.journey.route import Route
from firstmile.journey.script import Script, parse_until, reach, read_script, unmet
from firstmile.journey.simulator import ScriptedOutcome, simulate
from firstmile.journey.slices import cut
from firstmile.journey.timeline import words
from firstmile.journey.timeline.lines import Piece, clean, to_ascii, width, wrap

AT = parse_instant("2026-03-06T03:00:00Z")
JOURNEY = Journey.model_validate(
    {
        "journey": "team",
        "version": 1,
        "onboarded": {"milestone": "value"},
        "ends": "30 days",
        "steps": [
            {"id": "workspace", "provision": {"system": "workspace", "undo": True}},
            {"id": "value", "milestone": {"event": "report.published"}},
            {"id": "welcome", "after": "workspace", "wait": "2 days", "email": {"template": "welcome"}},
            {"id": "nps", "survey": {"kind": "nps", "template": "nps"}, "wait": "1 day"},
        ],
    }
)
ROUTE = Route(JOURNEY)
TOKYO = Calendar(cut("Asia/Tokyo", AT, AT + 400 * DAY, "JP"))


def script(*lines: object) -> Script:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return read_script(text, "script.jsonl", JOURNEY, ROUTE, AT)


def messages(found: Script) -> list[str]:
    return [str(problem) for problem in found.problems]


# ---- JSON ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "b": [true, false, null], "c": {"d": -0.5, "e": 1e3, "f": ""}}',
        '  {"\\u00e9\\n": "\\ud83d\\ude00 \\u2028 \u2028"}\n',
        '[[], {}, "x", 0, -1, 1E-2]',
        '"text"',
        "12",
        "null",
        "9007199254740993",
    ],
)
def test_json_is_read_as_the_standard_library_reads_it(text: str) -> None:
    document = read(text, "x.json")

    assert document.problems == ()
    assert document.tree == json.loads(text)


def test_every_key_and_value_has_its_line() -> None:
    document = read('{\n  "a":\n    [1,\n     {"b": 2}\n    ]\n}', "x.json", line=10)

    assert document.line(("a",)) == 11
    assert document.line(("a", 0)) == 12
    assert document.line(("a", 1, "b")) == 13
    assert document.line(("nothing",)) == 10


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the file is empty"),
        (" \n ", 1, "the file is empty"),
        ('{"a": 1,\n "b": }', 2, "a value was expected, not '}'"),
        ('{"a": 1,\n', 1, "the '{' that opens here is never closed"),
        ('{\n"a": [1, 2\n}', 3, "a ',' or a ']' was expected before '}'"),
        ('{"a" 1}', 1, "a ':' is missing after the key 'a'"),
        ('{"a": 1}\n{"a": 2}', 2, "'{' stands after the end: the file holds one value"),
        ('{"a": 1} # note', 1, "JSON has no comments: remove it"),
        ('{/* note */"a": 1}', 1, "JSON has no comments: remove it"),
        ('{"a": “1”}', 1, 'text stands in straight double quotes: "…"'),
        ('{"a": None}', 1, "None is not JSON: write null"),
        (
            '{"a": "x\ny"}',
            1,
            "a line break or another control character stands in the text: write \\n, or \\t",
        ),
        ('{"a": "\\x41"}', 1, "\\ means nothing before this character: write \\\\"),
        ('{\n"a": "x', 2, "the quote that opens here is never closed"),
        ("{,}", 1, "a key was expected, not ','"),
        ('{1: "a"}', 1, "a key was expected, not '1'"),
        ("[1,]", 1, "a ',' stands after the last value: remove it"),
        ('{"a":', 1, "the file ends where a value was expected"),
        ("[" * 60, 1, "nested more than 50 levels deep"),
        (f'{{"a": {"9" * 5000}}}', 1, f'this number is too large: quote this: "{"9" * 30}"'),
        (f'"{"x" * 1_000_001}"', 1, "the file is larger than 1 MB"),
    ],
)
def test_what_is_not_json_is_told_with_its_line(text: str, line: int, message: str) -> None:
    (problem,) = read(text, "x.json").problems

    assert (problem.line, problem.message) == (line, message)


def test_a_key_that_is_written_twice_keeps_its_first_value_and_is_reported_at_its_second_place() -> None:
    document = read('{"a": {"b": 1},\n "a": {"b": NaN, "c": 2}}', "x.json")

    assert document.problems[0].line == 2
    assert document.tree == {"a": {"b": 1}}


# ---- the customer ----------------------------------------------------------------------------------------


def test_a_customer_has_defaults_for_all_but_the_id() -> None:
    assert read_customer('{"id": "c-1"}', "c.json").subject == Subject(id="c-1", timezone="UTC")


def test_null_is_the_same_as_absent() -> None:
    keys = ("timezone", "country", "subdivision", "locale", "traits", "skip", "speed")
    customer: dict[str, Any] = {"id": "c-1", **dict.fromkeys(keys)}

    assert read_customer(json.dumps(customer), "c.json").subject == Subject(id="c-1")
    assert read_customer('{"id": "c-1", "traits": {"plan": null}}', "c.json").subject == Subject(id="c-1")


def test_a_customer_of_a_wrong_journey_is_read_as_far_as_it_can_be() -> None:
    read = read_customer(
        '{"id": "c-1", "skip": ["anything"], "traits": {"seats": "many"}, "lcale": 1}', "c.json"
    )

    assert [str(problem) for problem in read.problems] == [
        "c.json:1: unknown key 'lcale': did you mean 'locale'?"
    ]


# ---- the script ------------------------------------------------------------------------------------------


def test_the_lines_of_a_script_become_inputs() -> None:
    found = script(
        {"at": "+1 day", "event": "report.published", "id": "e1", "properties": {"pages": 3}},
        "",
        {"at": "+2 days", "event": "report.published"},
        {"at": "+3 days", "command": "pause", "actor": "ann", "reason": "away", "until": "+5 days"},
        {"at": "+4 days", "command": "traits", "traits": {"plan": None}},
        {
            "at": "+4 days",
            "outcome": "deferred",
            "step": "welcome",
            "until": "2026-03-20T00:00:00Z",
            "reason": "429",
        },
    )

    assert messages(found) == []
    lines = found.lines(TOKYO, AT)
    assert [(line.line, format_instant(line.at)[:10]) for line in lines] == [
        (1, "2026-03-07"),
        (3, "2026-03-08"),
        (4, "2026-03-09"),
        (5, "2026-03-10"),
        (6, "2026-03-10"),
    ]
    assert [line.input for line in lines] == [
        Event(event="report.published", id="e1", properties={"pages": 3}),
        Event(event="report.published", id="line 3"),
        Command("pause", actor="ann", reason="away", until=AT + 5 * DAY),
        Command("traits", traits={"plan": None}),
        ScriptedOutcome("welcome", "deferred", "429", parse_instant("2026-03-20T00:00:00Z")),
    ]


def test_a_line_with_an_error_gives_all_its_errors_and_no_input() -> None:
    found = script(
        {"at": "1 day", "command": "skip", "step": "nsp", "why": "x"}, {"at": "+1 day", "event": "a"}
    )

    assert messages(found) == [
        "script.jsonl:1: at: an offset from enrolment begins with '+': write '+1 day'",
        "script.jsonl:1: unknown key 'why': there are at, command, actor, reason, step",
        "script.jsonl:1: unknown step 'nsp': did you mean 'nps'?",
    ]
    assert [line.line for line in found.lines(TOKYO, AT)] == [2]


def test_what_only_the_journey_can_tell_is_left_open_without_one() -> None:
    text = '{"at": "2020-01-01T00:00:00Z", "command": "skip", "step": "whatever"}'

    assert read_script(text, "script.jsonl").problems == ()


def test_a_character_that_ends_a_line_elsewhere_does_not_end_one_here() -> None:
    found = script('{"at": "+1 day", "event": "a", "id": "one\u2028line\u0085still"}')

    assert (messages(found), len(found.inputs)) == ([], 1)


@pytest.mark.parametrize(
    ("event", "properties", "doubtful"),
    [
        ("report.published", {}, False),
        ("report.publishd", {}, True),
        ("survey.responded", {"step": "nps"}, False),
        ("survey.responded", {"step": "welcome"}, True),
        ("survey.responded", {}, True),
    ],
)
def test_an_event_that_nothing_listens_to_is_doubtful_not_wrong(
    event: str, properties: dict[str, object], doubtful: bool
) -> None:
    found = script({"at": "+1 day", "event": event, "properties": properties})

    assert found.problems == ()
    assert bool(found.notes) == doubtful


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([("+0 days", "done")], []),
        ([("+1 day", "failed")], [1]),
        ([("+0 days", "pending"), ("+1 day", "done")], []),
        ([("+0 days", "pending"), ("+1 day", "done"), ("+2 days", "done")], [3]),
        ([("+0 days", "pending"), ("+1 day", "pending")], [2]),
    ],
)
def test_outcomes_that_no_effect_met(lines: list[tuple[str, str]], expected: list[int]) -> None:
    found = script(*({"at": at, "outcome": outcome, "step": "workspace"} for at, outcome in lines))
    inputs = found.lines(TOKYO, AT)
    simulation = simulate(ROUTE, TOKYO, Subject("c-1"), AT, inputs)

    assert [line.line for line in unmet(inputs, simulation)] == expected


# ---- times -----------------------------------------------------------------------------------------------


def test_the_calendar_reaches_beyond_everything_that_is_named() -> None:
    subject = Subject("c-1", traits={"go_live": "2031-05-01", "seats": 12})
    found = script(
        {"at": "+100 days", "command": "pause", "until": "2028-01-01T00:00:00Z"},
        {"at": "+1 day", "command": "traits", "traits": {"go_live": "2033-01-01T09:00:00Z"}},
    )

    assert reach(JOURNEY, Subject("c-1"), Script(), AT) >= AT + 30 * DAY
    assert reach(JOURNEY, subject, Script(), AT) >= parse_instant("2031-05-31T00:00:00Z")
    assert reach(JOURNEY, Subject("c-1"), found, AT) >= parse_instant("2033-01-31T09:00:00Z")
    assert reach(JOURNEY, Subject("c-1"), Script(), AT, parse_until("900 days")) >= AT + 900 * DAY


def test_without_an_end_the_calendar_reaches_beyond_all_steps_one_after_the_other() -> None:
    steps = [
        {"id": "value", "milestone": {"event": "a"}, "within": "50 days"},
        {"id": "late", "after": "value", "wait": "90 days", "email": {"template": "x"}},
        {
            "id": "again",
            "wait": "1 day",
            "checkin": {"template": "x", "every": "10 days", "times": 20},
            "within": "1 day",
        },
    ]
    journey = Journey.model_validate(
        {"journey": "x", "version": 1, "onboarded": {"milestone": "value"}, "steps": steps}
    )

    assert reach(journey, Subject("c-1"), Script(), AT) >= AT + 341 * DAY


# ---- words and lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elapsed", "text"),
    [
        (5 * DAY + 2 * HOUR, "5 days 2 hours"),
        (5 * DAY + 2 * HOUR - SECOND, "5 days 1 hour"),
        (DAY, "1 day"),
        (DAY + 5 * MINUTE, "1 day"),
        (3 * HOUR + 20 * MINUTE, "3 hours 20 minutes"),
        (61 * SECOND, "1 minute 1 second"),
        (SECOND, "1 second"),
        (SECOND // 2, "no time"),
    ],
)
def test_a_length_of_time_in_words(elapsed: int, text: str) -> None:
    assert words.length(elapsed) == text


def test_a_date_has_its_year_where_it_is_another() -> None:
    there = parse_instant("2027-01-03T20:00:00Z")

    assert words.short(TOKYO, AT, AT) == "Fri 6 Mar 12:00"
    assert words.short(TOKYO, there, AT) == "Mon 4 Jan 2027 05:00"
    assert words.long_date(TOKYO, there) == "Monday 4 January 2027"


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_a_list_in_words(names: list[str], text: str) -> None:
    assert words.listed(names) == text


def texts(*pieces: str, columns: int, indent: int = 2) -> list[str]:
    lines = wrap([Piece(piece) for piece in pieces], [Piece("> ")], indent=indent, columns=columns)
    return ["".join(piece.text for piece in line) for line in lines]


def test_a_line_is_broken_between_words_and_goes_on_indented() -> None:
    assert texts("one two three", " four", columns=10) == ["> one two", "  three", "  four"]


def test_a_word_that_is_too_long_is_cut() -> None:
    assert texts("abcdefghijkl", columns=8) == ["> abcdef", "  ghijkl"]


def test_wide_characters_take_two_columns() -> None:
    assert width("日本") == 4
    assert width("e\u0301") == 1
    assert texts("日本語 日本語", columns=9) == ["> 日本語", "  日本語"]


def test_text_from_files_is_made_harmless() -> None:
    assert clean("a\x1b[1m\u202eb\n c\t d") == "a [1m b c d"
    assert clean(" a") == " a"
    assert clean("\n") == ""


def test_a_line_in_ascii() -> None:
    assert to_ascii([Piece("✉ zoë · 3 × a", "message")]) == [Piece("@ zo? - 3 x a", "message")]
