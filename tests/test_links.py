"""Signed links: what they carry, and which are refused."""

from __future__ import annotations

import hashlib
import re

import pytest
from itsdangerous import URLSafeSerializer

from firstmile.errors import LinkRefused
from firstmile.links import Links, Target
from firstmile.store.profiles import address_key

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
    training = links.of_step("c-1", 1, "training", "basics")["training"]
    assert re.fullmatch(r"https://hello\.example/t/[\w.-]+", training)
    assert links.read(token(training), "training") == Target("c-1", 1, "basics", 1)


@pytest.mark.parametrize("address", ["ann@example.com", "jürgen@weber.example", "a@b.example", "x"])
def test_a_further_recipients_preferences_are_told_by_the_key_of_their_address(address: str) -> None:
    key = address_key(address)
    url = links.of_step("c-2001", 1, "survey", "nps", 1, key)["preferences"]

    assert links.read(token(url), "preferences") == Target("c-2001", 1, address=key)
    assert len(url) < 150
    assert url != links.preferences_url("c-2001", 1)
    survey = links.of_step("c-2001", 1, "survey", "nps", 1, key)["survey"]
    assert links.read(token(survey), "survey") == Target("c-2001", 1, "nps", 1)


def test_a_link_made_before_there_were_further_recipients_is_the_primary_contacts() -> None:
    signer = URLSafeSerializer(
        OLD,
        salt="firstmile.preferences",
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
    )

    assert links.read(str(signer.dumps(["c-1", 1])), "preferences") == Target("c-1", 1, address=None)


def test_a_link_for_one_purpose_opens_no_other() -> None:
    with pytest.raises(LinkRefused):
        links.read(token(links.survey_url("c-1", 1, "nps")), "preferences")


def test_a_secret_is_rotated_while_older_links_are_still_in_inboxes() -> None:
    before = Links("https://hello.example", [OLD])
    old = before.survey_url("c-1", 1, "nps")
    preferences = before.preferences_url("c-1", 1, address_key("ann@example.com"))

    assert links.read(token(preferences), "preferences").address == address_key("ann@example.com")
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
