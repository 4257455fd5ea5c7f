"""Settings are read once from the environment; whatever is wrong with them is said at once."""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from firstmile import settings
from firstmile.errors import SettingsError
from firstmile.links import Links

BAD = Path(__file__).parent / "bad" / "settings"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("FIRSTMILE_", "SENDGRID_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("file", sorted(BAD.glob("*.env")), ids=lambda file: file.stem)
def test_everything_that_is_wrong_is_said_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, expected = file.read_text().split("---\n")
    for line in given.splitlines():
        if not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))

    with pytest.raises(SettingsError) as refused:
        settings.load(sends="# sends" in given)

    assert sorted(str(flaw) for flaw in refused.value.flaws) == sorted(expected.splitlines())


def test_without_any_variable_everything_has_a_value() -> None:
    found = settings.load()

    assert found.database_url == f"sqlite:///{found.state_dir / 'firstmile.db'}"
    assert found.journeys_folder().name == "journeys"
    assert all(settings.origin(name) == "default" for name in settings.Settings.model_fields)


def test_a_value_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTMILE_HTTP_PORT", "9000")
    monkeypatch.setenv("SENDGRID_API_KEY", "SG.other")
    monkeypatch.setenv("FIRSTMILE_TASK_QUEUE", "")

    found = settings.load()

    assert (found.http_port, settings.origin("http_port")) == (9000, "FIRSTMILE_HTTP_PORT")
    assert found.sendgrid_api_key is not None
    assert found.sendgrid_api_key.get_secret_value() == "SG.other"
    assert settings.origin("sendgrid_api_key") == "SENDGRID_API_KEY"
    assert (found.task_queue, settings.origin("task_queue")) == ("firstmile", "default")


def test_our_own_variable_wins_over_one_that_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDGRID_API_KEY", "SG.other")
    monkeypatch.setenv("FIRSTMILE_SENDGRID_API_KEY", "SG.ours")

    found = settings.load()

    assert found.sendgrid_api_key is not None
    assert found.sendgrid_api_key.get_secret_value() == "SG.ours"


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTMILE_DATABASE_URL", "postgresql://fm:hush@hush@db/firstmile")
    monkeypatch.setenv("FIRSTMILE_LINK_SECRETS", "hush-hush-hush-hush, hush-hush-hush-hush-2")
    monkeypatch.setenv("FIRSTMILE_API_KEY", "hush")
    monkeypatch.setenv("SENDGRID_API_KEY", "hush")
    monkeypatch.setenv("FIRSTMILE_SYSTEMS", '{"workspace": {"url": "https://x", "secret": "hush"}}')

    found = settings.load()

    assert "hush" not in str(settings.shown(found))
    assert "hush" not in repr(found)


def test_what_kubernetes_adds_by_itself_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_8080_TCP",
        "WEB_PORT_80_TCP_ADDR",
    ):
        monkeypatch.setenv(f"FIRSTMILE_{name}", "tcp://10.0.0.1:8080")

    settings.load()


def test_lists_and_lengths_read_as_people_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTMILE_MAIL_ALLOW", "example.com, ann@example.org")
    monkeypatch.setenv("FIRSTMILE_RECONCILE_FOR", "1 hour 30 minutes")
    monkeypatch.setenv("FIRSTMILE_LOG_LEVEL", "WARNING")

    found = settings.load()

    assert found.mail_allow == ("example.com", "ann@example.org")
    assert found.reconcile_for == timedelta(minutes=90)
    assert found.log_level == "warning"


def test_the_secret_of_links_is_made_once_and_for_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTMILE_STATE_DIR", str(tmp_path / "state"))
    found = settings.load()

    first, again = found.link_keys(), settings.load().link_keys()

    assert first == again
    Links(found.public_url, first)
    (file,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.load().http_port = 1  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("empty", [" ", ",", " , ", "[]"])
def test_a_list_of_recipients_that_names_nobody_does_not_open_it_to_everybody(
    monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    monkeypatch.setenv("FIRSTMILE_MAIL_ALLOW", empty)
    with pytest.raises(SettingsError, match="FIRSTMILE_MAIL_ALLOW: it names nobody"):
        settings.load()


@pytest.mark.parametrize("rate", ["inf", "nan", "0", "-1", "1e-9"])
def test_a_rate_at_which_nothing_or_anything_goes_out_is_refused(
    monkeypatch: pytest.MonkeyPatch, rate: str
) -> None:
    monkeypatch.setenv("FIRSTMILE_SEND_RATE", rate)
    with pytest.raises(SettingsError, match="FIRSTMILE_SEND_RATE"):
        settings.load()
