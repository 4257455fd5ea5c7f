"""Signed links: what they carry, and which are refused."""

from __future__ import annotations

import re

import pytest

from firstmile.errors import LinkRefused
from firstmile.links import Links, Target

OLD, NEW = "an old secret of links", "a new secret of links"
links = Links("https://hello.example/", [NEW, OLD])


def token(url: str) -> str:
    return url.rsplit("/", 1)[1].partition("?")[0]


def test_a_link_carries_whom_and_what_it_is_about() -> None:
    url = links.survey_url("c-2001", 1, "nps", 2)

    assert re.fullmatch(r"https://hello\.example/s/[\w.-]+", url)
    assert len(url) < 110
    assert links.read(token(url), "survey") == Target("c-2001", 1, "nps", 2)


def test_the_links_of_a_step_have_the_names_that_templates_know() -> None:
    found = links.of_step("c-1", 1, "checkin", "check_in", 3)

    assert set(found) == {"preferences", "checkin_good", "checkin_help"}
    assert found["checkin_help"].endswith("?answer=help")
    assert links.read(token(found["checkin_good"]), "checkin") == Target("c-1", 1, "check_in", 3)
    assert links.read(token(found["preferences"]), "preferences") == Target("c-1", 1)
    assert set(links.of_step("c-1", 1, "email", "welcome")) == {"preferences"}


def test_a_link_for_one_purpose_opens_no_other() -> None:
    with pytest.raises(LinkRefused):
        links.read(token(links.survey_url("c-1", 1, "nps")), "preferences")


def test_a_secret_is_rotated_while_older_links_are_still_in_inboxes() -> None:
    old = Links("https://hello.example", [OLD]).survey_url("c-1", 1, "nps")

    assert links.read(token(old), "survey").subject == "c-1"
    with pytest.raises(LinkRefused):
        Links("https://hello.example", [NEW]).read(token(old), "survey")


@pytest.mark.parametrize("wrong", ["", "x", "a.b", "é.ü", "x" * 10_000, "W10.x", "\x00"])
def test_what_is_not_ours_is_refused(wrong: str) -> None:
    with pytest.raises(LinkRefused):
        links.read(wrong, "survey")


def test_a_changed_link_is_refused() -> None:
    payload, signature = token(links.survey_url("c-1", 1, "nps")).split(".")
    other, _ = token(links.survey_url("c-2", 1, "nps")).split(".")

    assert payload != other
    with pytest.raises(LinkRefused):
        links.read(f"{other}.{signature}", "survey")


def test_links_need_a_secret() -> None:
    with pytest.raises(ValueError, match="FIRSTMILE_LINK_SECRETS"):
        Links("https://hello.example", [])
