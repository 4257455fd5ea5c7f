"""Templates from their files: read, joined, inlined and compiled, each part once.

A template is a folder: `subject.txt.j2`, `body.html.j2` or `body.mjml.j2`, `body.txt.j2`, `sample.json`, and a
sub-folder of the same for each further language (`locales`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jinja2 import FileSystemLoader, Template, TemplateNotFound, TemplateSyntaxError

from firstmile.mail.environment import environment
from firstmile.mail.errors import TemplateError
from firstmile.mail.folder import HTML, MJML, SUBJECT, TEXT
from firstmile.mail.inlining import inlined
from firstmile.mail.joining import flattened
from firstmile.mail.locales import folders, same_language, tag


@dataclass(frozen=True, slots=True)
class Part:
    """One compiled part. `plain` renders the same from the files as they are written: errors are placed by
    it."""

    file: str
    compiled: Template
    plain: Template

    @property
    def as_written(self) -> Part:
        """The part from its files: what compiling must not change in words."""
        return Part(self.file, self.plain, self.plain)


@dataclass(frozen=True, slots=True)
class Variant:
    """A template in one language. `folder` is the sub-folder's name, or empty for the template's own."""

    name: str
    folder: str
    language: str
    subject: Part
    html: Part
    text: Part

    def __str__(self) -> str:
        return f"{self.name}/{self.folder}" if self.folder else self.name


class Loader:
    """Loads the templates of a folder, whose own language is `language`. What cannot be loaded is in
    `problems`."""

    def __init__(self, folder: Path, language: str) -> None:
        self.problems: list[TemplateError] = []
        self._folder, self._language = folder, language
        self._files = FileSystemLoader(folder)
        self._html = environment(self._files, autoescape=True)
        self._text = environment(self._files, autoescape=False)
        self._parts: dict[str, Part | None] = {}

    def load(self, name: str) -> dict[str, Variant]:
        """A template in every language that it is there in whole, by the names of their folders."""
        languages = sorted(
            path.name
            for path in (self._folder / name).iterdir()
            if path.is_dir() and not path.name.startswith(("_", "."))
        )
        found: dict[str, Variant] = {}
        for folder in ["", *languages]:
            if folder and folder not in folders(folder):
                problem = f"'{folder}' is not a language: a sub-folder is called for instance de or de_AT"
                self.problems.append(TemplateError(name, problem, file=f"{name}/{folder}"))
                continue
            places = self._places(name, folder, languages)
            parts = [self._part(name, places, files) for files in ((SUBJECT,), (HTML, MJML), (TEXT,))]
            subject, html, text = parts
            if subject is not None and html is not None and text is not None:
                language = tag(folder) if folder else tag(self._language)
                found[folder] = Variant(name, folder, language, subject, html, text)
        return found

    def _places(self, name: str, folder: str, languages: list[str]) -> list[str]:
        """Where the parts of a message may stand: folders of one language, the nearest first."""
        if not folder:
            return [name]
        places = [f"{name}/{one}" for one in folders(folder) if one in languages]
        return [*places, name] if same_language(folder, self._language) else places

    def _part(self, name: str, places: list[str], files: tuple[str, ...]) -> Part | None:
        """The part that stands nearest. None where there is none, or none that can be used: then
        `problems` says so."""
        for place in places:
            there = [file for file in files if (self._folder / place / file).is_file()]
            if len(there) > 1:
                problem = f"there are both {' and '.join(there)}: keep one"
                self.problems.append(TemplateError(name, problem, file=place))
                return None
            if there:
                return self._compiled(name, f"{place}/{there[0]}")
        file = files[0]
        if len(places) == 1 and places[0] == name:
            others = "".join(f", and there is no {other} either" for other in files[1:])
            missing = TemplateError(name, f"the file is missing{others}", file=f"{name}/{file}")
        else:
            problem = f"lacks {file}: a message is written in one language, whole"
            missing = TemplateError(name, problem, file=places[0])
        self.problems.append(missing)
        return None

    def _compiled(self, name: str, path: str) -> Part | None:
        if path not in self._parts:
            self._parts[path] = None
            try:
                with self._placed(name):
                    self._parts[path] = self._compile(path)
            except TemplateError as error:
                # The template whose file it is: the error may have come from its layout.
                self.problems += [
                    TemplateError(name, one.problem, file=one.file, line=one.line)
                    for one in (error, *error.others)
                ]
        return self._parts[path]

    def _compile(self, path: str) -> Part:
        if path.endswith((TEXT, SUBJECT)):
            plain = self._text.get_template(path)
            flattened(path, self.source)  # what it extends and includes is there, too
            return Part(path, plain, plain)
        plain = self._html.get_template(path)
        return Part(path, self._html.from_string(inlined(path, self.source)), plain)

    def source(self, path: str) -> str:
        """The text of a file. Raises `TemplateError`."""
        with self._placed(path.partition("/")[0]):
            return self._files.get_source(self._html, path)[0]

    @contextmanager
    def _placed(self, name: str) -> Iterator[None]:
        """Say of Jinja2's own errors where they are."""
        try:
            yield
        except TemplateNotFound as error:
            raise TemplateError(name, "the file is missing", file=str(error.name)) from None
        except TemplateSyntaxError as error:
            problem = error.message or "a syntax error"
            raise TemplateError(name, problem, file=error.name, line=error.lineno) from None
        except UnicodeDecodeError:
            raise TemplateError(name, "a file is not UTF-8") from None
