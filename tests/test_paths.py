"""Where journeys and templates are found: environment, then checkout, then what was shipped; nothing else."""

from __future__ import annotations

import logging
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from firstmile import paths
from firstmile.paths import Folder, Found, Origin

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The package in a checkout, with both folders beside it. Gives the package's folder."""
    root = tmp_path / "checkout"
    for folder in ("firstmile", "journeys", "templates"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").touch()
    return root / "firstmile"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The package as a wheel lays it out, with both folders inside. Gives the package's folder."""
    package = tmp_path / "site-packages" / "firstmile"
    for folder in ("journeys", "templates"):
        (package / "_shipped" / folder).mkdir(parents=True)
    return package


@pytest.mark.parametrize("folder", Folder)
def test_the_environment_comes_first(folder: Folder, tmp_path: Path, checkout: Path) -> None:
    environ = {folder.variable: str(tmp_path)}

    assert paths.find(folder, environ=environ, package=checkout) == Found(tmp_path, Origin.ENVIRONMENT)


@pytest.mark.parametrize("folder", Folder)
def test_one_variable_leaves_the_other_folder_alone(folder: Folder, tmp_path: Path, checkout: Path) -> None:
    others = {other.variable: str(tmp_path) for other in Folder if other is not folder}

    assert paths.find(folder, environ=others, package=checkout).origin is Origin.CHECKOUT


@pytest.mark.parametrize("folder", Folder)
def test_without_it_the_checkout(folder: Folder, checkout: Path) -> None:
    assert paths.find(folder, environ={}, package=checkout) == Found(
        checkout.parent / folder.value, Origin.CHECKOUT
    )


@pytest.mark.parametrize("folder", Folder)
def test_without_a_checkout_what_was_shipped(folder: Folder, installed: Path) -> None:
    assert paths.find(folder, environ={}, package=installed) == Found(
        installed / "_shipped" / folder.value, Origin.SHIPPED
    )


def test_folders_beside_an_installed_package_are_not_taken_for_a_checkout(installed: Path) -> None:
    (installed.parent / "journeys").mkdir()

    assert paths.find(Folder.JOURNEYS, environ={}, package=installed).origin is Origin.SHIPPED


def test_an_empty_variable_counts_as_unset(checkout: Path) -> None:
    found = paths.find(Folder.JOURNEYS, environ={"FIRSTMILE_JOURNEYS": ""}, package=checkout)

    assert found.origin is Origin.CHECKOUT


def test_a_home_folder_may_be_written_with_a_tilde(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ours").mkdir()

    found = paths.find(Folder.JOURNEYS, environ={"FIRSTMILE_JOURNEYS": "~/ours"}, package=checkout)

    assert found.path == tmp_path / "ours"


def test_a_variable_that_names_no_folder_is_refused_and_nothing_else_is_tried(
    tmp_path: Path, checkout: Path
) -> None:
    environ = {"FIRSTMILE_JOURNEYS": str(tmp_path / "nowhere")}

    with pytest.raises(FileNotFoundError, match=r"FIRSTMILE_JOURNEYS is '.*nowhere'"):
        paths.find(Folder.JOURNEYS, environ=environ, package=checkout)


def test_a_missing_folder_says_which_variable_to_set(checkout: Path) -> None:
    (checkout.parent / "templates").rmdir()

    with pytest.raises(FileNotFoundError, match="FIRSTMILE_TEMPLATES"):
        paths.find(Folder.TEMPLATES, environ={}, package=checkout)


def test_what_was_chosen_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FIRSTMILE_JOURNEYS", str(tmp_path))

    with caplog.at_level(logging.INFO, logger="firstmile.paths"):
        assert paths.journeys() == tmp_path

    assert caplog.messages == [f"journeys are read from {tmp_path} (environment)"]


def test_the_working_directory_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in Folder:
        monkeypatch.delenv(folder.variable, raising=False)
        (tmp_path / folder.value).mkdir()
    monkeypatch.chdir(tmp_path)

    assert paths.journeys() == CHECKOUT / "journeys"
    assert paths.templates() == CHECKOUT / "templates"


def files_under(folder: Path) -> set[Path]:
    return {file.relative_to(folder) for file in folder.rglob("*") if file.is_file()}


def test_a_wheel_carries_both_folders_and_finds_them(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    # -S keeps the environment's own path entries out, and so this checkout.
    program = "from firstmile.paths import Folder, find; print(*map(find, Folder), sep='\\n')"
    shown = subprocess.run(
        [sys.executable, "-S", "-P", "-c", program],
        env={"PYTHONPATH": str(site)},
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    shipped = site / "firstmile" / "_shipped"
    assert shown.splitlines() == [str(Found(shipped / folder.value, Origin.SHIPPED)) for folder in Folder]
    for folder in Folder:
        assert files_under(shipped / folder.value) == files_under(CHECKOUT / folder.value)
    top = {entry.name for entry in site.iterdir() if not entry.name.endswith(".dist-info")}
    assert top <= {"firstmile", "workflows", "activities", "worker.py", "starter.py"}
