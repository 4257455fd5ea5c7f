"""`firstmile check`, `show` and `schema`: what they print, where, and with which exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from firstmile.cli import app
from firstmile.mail.folder import template_names
from tests.mail.building import write_files

TESTS = Path(__file__).resolve().parents[1]
CHECKOUT = TESTS.parent

GOOD = """\
journey: small
version: 1
onboarded: {milestone: value}
ends: 60 days
steps:
  - id: value
    milestone: {event: report.published}
  - id: welcome
    after: [value]
    email: {template: welcome}
"""
MESSAGE = {
    "subject.txt.j2": "Your first report",
    "body.html.j2": '{% extends "_layout/base.html.j2" %}{% block preheader %}And the next one{% endblock %}'
    "{% block heading %}Well done{% endblock %}{% block content %}<p>Go on.</p>{% endblock %}",
    "body.txt.j2": '{% extends "_layout/base.txt.j2" %}{% block content %}Go on.{% endblock %}',
    "sample.json": '{"customer": {"name": "Ann"}, "links": {"preferences": "https://a.example/u"}}',
}
DOUBTFUL = GOOD.replace("    after: [value]\n", "")
WRONG = GOOD.replace("[value]", "[vaule]").replace("email:", "emial:")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder of journeys and one template."""
    (tmp_path / "journeys").mkdir()
    template(tmp_path, "welcome")
    (tmp_path / "journeys" / "small.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def template(folder: Path, name: str, **files: str) -> None:
    """A template beside the journeys, in the layout that ships."""
    written = write_files(folder / "templates" / name, MESSAGE | files)
    if not (written.parent / "_layout").exists():
        shutil.copytree(CHECKOUT / "templates" / "_layout", written.parent / "_layout")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def lines(*arguments: str) -> tuple[int, list[str]]:
    result = run(*arguments)
    assert result.stderr == ""
    return result.exit_code, result.stdout.splitlines()


def test_a_right_journey_passes(folder: Path) -> None:
    assert lines("check", "journeys/small.yaml") == (0, ["1 journey, 1 template: nothing wrong"])
    assert lines("check", "journeys") == (0, ["1 journey, 1 template: nothing wrong"])


def test_the_templates_beside_a_folder_are_checked_and_beside_a_file_those_it_names(folder: Path) -> None:
    template(folder, "other", **{"body.txt.j2": "Go on: {{ links.preferences }} {{ traits.plan }}"})
    assert lines("check", "journeys/small.yaml") == (0, ["1 journey, 1 template: nothing wrong"])
    assert lines("check", "journeys") == (
        1,
        [
            "templates/other/body.txt.j2:1: traits.plan is missing (its sample)",
            "1 journey, 2 templates: 1 error",
        ],
    )


def test_what_a_journey_does_not_have_is_an_error_where_the_template_reads_it(folder: Path) -> None:
    file = folder / "journeys" / "small.yaml"
    file.write_text(
        GOOD.replace("onboarded", "traits: {plan: text, seats: number?}\nonboarded")
        + "  - id: specialist\n    assign: {team: help}\n"
    )
    body = MESSAGE["body.html.j2"].replace(
        "Go on.",
        "\n{% if reached('vlaue') %}{{ traits.paln }}{% endif %}\n{{ links.survey }}{{ session.title }}"
        "{% if owner.specialst %}x{% endif %}",
    )
    sample = {
        "customer": {},
        "links": {"preferences": "https://a.example/u", "survey": "https://a.example/s"},
    }
    sample["session"] = {"title": "x"}
    template(folder, "welcome", **{"body.html.j2": body, "sample.json": json.dumps(sample)})
    status, printed = lines("check", "journeys")
    assert status == 1
    where = "(journeys/small.yaml, step welcome)"
    assert sorted(printed[:5]) == [
        f"templates/welcome/body.html.j2:2: unknown step 'vlaue': did you mean 'value'? {where}",
        f"templates/welcome/body.html.j2:2: unknown trait 'paln': did you mean 'plan'? {where}",
        f"templates/welcome/body.html.j2:3: only a training has a session {where}",
        f"templates/welcome/body.html.j2:3: unknown link 'survey': there are app, preferences {where}",
        f"templates/welcome/body.html.j2:3: unknown owner 'specialst': did you mean 'specialist'? {where}",
    ]


def test_every_error_of_every_file_is_printed_and_the_status_is_1(folder: Path) -> None:
    (folder / "journeys" / "wrong.yaml").write_text(WRONG.replace("small", "wrong"))
    (folder / "journeys" / "worse.yml").write_text("journey: [")
    (folder / "journeys" / "notes.txt").write_text("not a journey")

    status, printed = lines("check", "journeys")

    assert status == 1
    assert [line.split(": ")[:3] for line in printed] == [
        ["journeys/worse.yml:1", "the '[' or '{' that opens here is never closed"],
        ["journeys/wrong.yaml:9", "steps.welcome.after", "unknown step 'vaule' in after"],
        ["journeys/wrong.yaml:10", "steps.welcome.emial", "unknown field 'emial' in step 'welcome'"],
        ["3 journeys, 1 template", "3 errors"],
    ]


def test_warnings_pass_unless_strict(folder: Path) -> None:
    (folder / "journeys" / "small.yaml").write_text(DOUBTFUL)
    status, printed = lines("check", "journeys")
    assert (status, printed[1:]) == (0, ["1 journey, 1 template: 1 warning"])
    assert printed[0].startswith("journeys/small.yaml:8: warning: steps.welcome: ")
    assert lines("check", "journeys", "--strict") == (1, printed)


def test_json_is_one_problem_a_line_and_nothing_else(folder: Path) -> None:
    (folder / "journeys" / "small.yaml").write_text(WRONG)
    status, printed = lines("check", "--json", "journeys")
    assert status == 1
    assert [json.loads(line) for line in printed][1] == {
        "file": "journeys/small.yaml",
        "line": 10,
        "field": "steps.welcome.emial",
        "message": "unknown field 'emial' in step 'welcome': did you mean 'email'?",
        "severity": "error",
    }


def test_a_template_is_looked_for_beside_the_journeys_and_in_the_working_directory(folder: Path) -> None:
    elsewhere = folder / "elsewhere" / "journeys"
    elsewhere.mkdir(parents=True)
    file = elsewhere / "small.yaml"
    file.write_text(GOOD.replace("template: welcome", "template: own"))
    status, printed = lines("check", str(file))
    assert status == 1
    assert printed[0].endswith("unknown template 'own': there is no folder templates/own")
    template(folder / "elsewhere", "own")
    assert lines("check", str(file))[0] == 0
    file.write_text(GOOD)
    assert lines("check", str(file))[0] == 0


def test_where_there_are_no_templates_at_all_they_are_not_looked_up(folder: Path) -> None:
    shutil.rmtree(folder / "templates")
    assert lines("check", "journeys/small.yaml") == (0, ["1 journey: nothing wrong"])


def test_one_segment_in_two_files_is_an_error(folder: Path) -> None:
    (folder / "journeys" / "twin.yaml").write_text(GOOD)
    assert lines("check", "journeys") == (
        1,
        [
            "journeys/twin.yaml:1: journey: the segment 'small' is already in journeys/small.yaml",
            "2 journeys, 1 template: 1 error",
        ],
    )


def test_the_same_file_named_twice_is_checked_once(folder: Path) -> None:
    assert lines("check", "journeys", "journeys/small.yaml") == (0, ["1 journey, 1 template: nothing wrong"])


def test_what_cannot_be_read_is_an_error_beside_the_others(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "latin.yaml").write_bytes(b"journey: small\ntitle: caf\xe9\n")
    (folder / "marked.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("small", "marked").encode())
    status, printed = lines("check", "empty", "nowhere.yaml", "latin.yaml", "marked.yaml", "journeys")
    assert status == 1
    assert printed == [
        "empty: there are no journeys (*.yaml) in this folder",
        "nowhere.yaml: cannot be read: No such file or directory",
        "latin.yaml:2: the file is not UTF-8: save it as UTF-8",
        "4 journeys, 1 template: 3 errors",
    ]


def test_without_paths_the_journeys_of_the_installation_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIRSTMILE_JOURNEYS", raising=False)
    monkeypatch.chdir(CHECKOUT)
    count = len(list((CHECKOUT / "journeys").glob("*.yaml")))
    templates = len(template_names(CHECKOUT / "templates"))
    assert lines("check") == (0, [f"{count} journeys, {templates} templates: nothing wrong"])


def test_the_folder_of_journeys_can_be_named_by_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTMILE_JOURNEYS", str(folder / "journeys"))
    assert lines("check") == (0, ["1 journey, 1 template: nothing wrong"])
    monkeypatch.setenv("FIRSTMILE_JOURNEYS", str(folder / "nowhere"))
    status, printed = lines("check")
    assert status == 1
    assert "FIRSTMILE_JOURNEYS" in printed[0]


def test_a_wrong_call_has_status_2() -> None:
    assert run("check", "--nonsense").exit_code == 2
    assert run("show").exit_code == 2
    assert run("show", "team", "--json", "--mermaid").exit_code == 2


def test_show_takes_a_file_or_a_segment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTMILE_JOURNEYS", str(folder / "journeys"))
    (folder / "journeys" / "other_name.yaml").write_text(GOOD.replace("journey: small", "journey: other"))
    by_file = run("show", "journeys/small.yaml")
    assert by_file.exit_code == 0
    assert "welcome · email welcome" in by_file.stdout
    assert run("show", "small").stdout == by_file.stdout
    assert run("show", "other").stdout.startswith("other 1\n")
    assert run("show", "small", "--mermaid").stdout.startswith("flowchart TD\n")
    assert json.loads(run("show", "small", "--json").stdout)["steps"][1]["after"] == ["value"]


def test_show_says_why_it_cannot_show(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTMILE_JOURNEYS", str(folder / "journeys"))
    unknown = run("show", "smal")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr == "there is no journey 'smal' in journeys: there are small\n"
    (folder / "journeys" / "small.yaml").write_text(WRONG)
    wrong = run("show", "small")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert "did you mean 'email'?" in wrong.stderr


def test_schema_prints_what_lies_beside_the_journeys() -> None:
    assert run("schema").stdout == (CHECKOUT / "journeys" / "journey.schema.json").read_text(encoding="utf-8")
