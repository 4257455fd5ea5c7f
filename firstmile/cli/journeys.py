"""`firstmile check`, `show` and `schema`: journey files and templates, read and shown without a server.

Here files are found and opened; what they mean is the business of `firstmile.journey` and `firstmile.mail`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from firstmile.journey.loader import Loaded
    from firstmile.journey.model import Journey
    from firstmile.journey.problems import Problem

app = typer.Typer()

SUFFIXES = (".yaml", ".yml")


@app.command()
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Journey files, or folders of them; default: the journeys."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each problem.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
) -> None:
    """Say everything that is wrong or doubtful in journey files, and in the templates beside them.

    All templates beside a folder of journeys, those that are named beside a single file. Exit status 1 if
    there is an error, 0 if there are only warnings.
    """
    from firstmile.journey.problems import Problem

    paths = paths or [_default_folder()]
    files, problems = _files(paths)
    right: dict[Path, Journey] = {}
    segments: dict[str, str] = {}
    for file in files:
        loaded = load(file)
        problems += loaded if isinstance(loaded, list) else loaded.problems
        if not isinstance(loaded, list) and loaded.journey is not None:
            right[file] = loaded.journey
            segment = loaded.journey.journey
            if segment in segments:
                message = f"the segment '{segment}' is already in {segments[segment]}"
                problems.append(Problem(str(file), loaded.document.line(("journey",)), "journey", message))
            segments.setdefault(segment, str(file))
    templates, found = _templates(right, all_of=[path for path in paths if path.is_dir()])
    problems += found
    wrong = sum(problem.severity == "error" for problem in problems)
    for problem in problems:
        typer.echo(json.dumps(dataclasses.asdict(problem), ensure_ascii=False) if as_json else problem)
    if not as_json:
        doubtful = len(problems) - wrong
        counts = ", ".join(
            _counted(*count) for count in ((wrong, "error"), (doubtful, "warning")) if count[0]
        )
        looked_at = _counted(len(files), "journey") + (
            f", {_counted(templates, 'template')}" if templates else ""
        )
        typer.echo(f"{looked_at}: {counts or 'nothing wrong'}")
    if wrong or (strict and problems):
        raise typer.Exit(1)


@app.command()
def show(
    journey: Annotated[str, typer.Argument(metavar="JOURNEY", help="A journey file, or a segment's name.")],
    as_mermaid: Annotated[bool, typer.Option("--mermaid", help="A Mermaid flowchart.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The journey as JSON, with its defaults.")] = False,
) -> None:
    """Draw a journey: what comes after what, when, and what settles it."""
    from firstmile.journey.show import diagram, mermaid

    if as_mermaid and as_json:
        raise typer.BadParameter("choose one of --mermaid and --json")
    loaded = load(_named(journey))
    problems = loaded if isinstance(loaded, list) else loaded.errors
    for problem in problems:
        typer.echo(problem, err=True)
    if isinstance(loaded, list) or loaded.journey is None:
        raise typer.Exit(1)
    if as_json:
        values = loaded.journey.model_dump(mode="json", exclude_none=True)
        typer.echo(json.dumps(values, ensure_ascii=False, indent=2))
    else:
        typer.echo(mermaid(loaded.journey) if as_mermaid else diagram(loaded.journey), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of journey files, for editors."""
    from firstmile.journey.schema import schema_text

    typer.echo(schema_text(), nl=False)


def load(file: Path) -> Loaded | list[Problem]:
    """Read and check a journey file; the problems alone if it cannot be opened."""
    from firstmile.journey.loader import load_checked
    from firstmile.journey.problems import Problem

    content = b""
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return [Problem(str(file), line, "", "the file is not UTF-8: save it as UTF-8")]
    except OSError as error:
        return [Problem(str(file), None, "", f"cannot be read: {error.strerror or error}")]
    return load_checked(text, str(file), templates=beside(file, "templates"), forms=beside(file, "forms"))


def beside(file: Path, folder: str) -> list[str] | None:
    """The templates or forms that a journey may name: beside its folder, or in the working directory.

    None if there is no such folder: then nothing can be looked up.
    """
    from firstmile.mail.folder import template_names

    folders = _places(file, folder)
    if not folders:
        return None
    if folder == "templates":
        return [name for place in folders for name in template_names(place)]
    return [found.stem for place in folders for found in place.iterdir() if found.is_file()]


def _places(file: Path, folder: str) -> list[Path]:
    places = dict.fromkeys((file.absolute().parent.parent / folder, Path.cwd() / folder))
    return [place for place in places if place.is_dir()]


def _templates(journeys: Mapping[Path, Journey], all_of: Sequence[Path]) -> tuple[int, list[Problem]]:
    """How many templates there are beside journeys (all of them beside a folder in `all_of`, else those that
    are named), and what is wrong with them."""
    from firstmile.mail.checks import check_templates
    from firstmile.mail.folder import template_names
    from firstmile.mail.situations import usages

    places: dict[Path, dict[str, Journey]] = {}
    for file, journey in journeys.items():
        for place in _places(file, "templates"):
            places.setdefault(place, {})[str(file)] = journey
    whole = {place for folder in all_of for place in _places(folder / "journey", "templates")}
    count = 0
    problems: list[Problem] = []
    for place, here in places.items():
        names = set(template_names(place))
        count += len(names if place in whole else names & set(usages(here)))
        problems += check_templates(place, here, shown=_shown(place), named_only=place not in whole)
    return count, problems


def _shown(folder: Path) -> str:
    """A folder as people would write it from here."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _files(paths: list[Path]) -> tuple[list[Path], list[Problem]]:
    """The journey files that paths stand for, each once, and what is wrong with the paths."""
    from firstmile.journey.problems import Problem

    files: dict[Path, Path] = {}
    problems: list[Problem] = []
    for path in paths:
        found = [path]
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
            if not found:
                problems.append(Problem(str(path), None, "", "there are no journeys (*.yaml) in this folder"))
        for file in found:
            files.setdefault(file.absolute(), file)
    return list(files.values()), problems


def _default_folder() -> Path:
    """The folder of journeys, as people would write it from here."""
    from firstmile import paths

    try:
        folder = paths.journeys()
    except FileNotFoundError as error:
        typer.echo(error)
        raise typer.Exit(1) from None
    return Path(_shown(folder))


def _named(journey: str) -> Path:
    """The file that is meant: a path, or the name of a segment in the folder of journeys."""
    path = Path(journey)
    if path.is_file() or path.suffix in SUFFIXES or path.parent != Path():
        return path
    folder = _default_folder()
    files, _ = _files([folder])
    for file in files:
        loaded = load(file) if file.stem != journey else None
        segment = loaded.journey.journey if loaded and not isinstance(loaded, list) and loaded.journey else ""
        if journey in (file.stem, segment):
            return file
    known = ", ".join(file.stem for file in files) or "none"
    typer.echo(f"there is no journey '{journey}' in {folder}: there are {known}", err=True)
    raise typer.Exit(1)


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
