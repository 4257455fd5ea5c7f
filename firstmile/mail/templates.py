"""Templates: read, checked and inlined once; a send only fills in values.

A template is a folder: `subject.txt.j2`, `body.html.j2`, `body.txt.j2`, `sample.json`. Folders beginning
with `_` are no templates; `_layout` holds what they share, with `brand.json` and `sessions.json`. Rendering
is strict: a name that is not there fails. The sandbox keeps templates from the program's objects; it is no
wall against a template that means harm (FACTS.md), so templates are trusted, and output is capped.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, Template, TemplateNotFound, TemplateSyntaxError
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from firstmile.journey.expressions import ABSENT
from firstmile.mail.calendar_file import Sessions, read_sessions
from firstmile.mail.context import Names, Values, date_filter, datetime_filter, sample_context
from firstmile.mail.errors import TemplateError
from firstmile.mail.inlining import inlined
from firstmile.mail.message import one_line

MAX_OUTPUT = 200_000
"""Characters of one part. Gmail cuts a message after 102 KB of HTML: `check_templates` says so."""
CLIPPED = 102_400
LAYOUT = "_layout"
SUBJECT, HTML, TEXT, SAMPLE = "subject.txt.j2", "body.html.j2", "body.txt.j2", "sample.json"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's words. The subject is one line."""

    subject: str
    html: str
    text: str


class _Environment(ImmutableSandboxedEnvironment):
    """Mappings are read by item only: `traits.items` is a trait, never a method of Python's."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return self._item(obj, attribute)
        return ABSENT if obj is ABSENT else super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            return self._item(obj, argument)
        return ABSENT if obj is ABSENT else super().getitem(obj, argument)

    def _item(self, mapping: Mapping[Any, Any], key: Any) -> Any:
        if key in mapping:
            return mapping[key]
        if isinstance(mapping, Names) and mapping.forgiving:
            return ABSENT
        label = mapping.label if isinstance(mapping, Names) else "a mapping"
        return self.undefined(hint=f"{label}.{key} is missing", name=str(key))


def _nothing_is_empty(value: object) -> object:
    return "" if value is None else value


def _environment(loader: FileSystemLoader, *, autoescape: bool) -> _Environment:
    environment = _Environment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=autoescape,
        finalize=_nothing_is_empty,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=-1,
        auto_reload=False,
    )
    environment.filters["date"] = date_filter
    environment.filters["datetime"] = datetime_filter
    return environment


@dataclass(frozen=True, slots=True)
class _Part:
    """One compiled part. `plain` renders the same from the files as they are written: errors are placed by
    it."""

    compiled: Template
    plain: Template | None = None


class Templates:
    """The templates of one folder. Raises `TemplateError` for the first that cannot be loaded.

    `layout` is the folder of `brand.json` and `sessions.json`, if not the one in `folder`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.brand: Mapping[str, Any] = _read_json(folder / LAYOUT / "brand.json", LAYOUT, default={})
        try:
            self.sessions: Sessions = read_sessions(folder / LAYOUT / "sessions.json")
        except ValueError as error:
            raise TemplateError(LAYOUT, str(error), file=f"{LAYOUT}/sessions.json") from error
        self._loader = FileSystemLoader(folder)
        self._html = _environment(self._loader, autoescape=True)
        self._text = _environment(self._loader, autoescape=False)
        self._parts: dict[str, dict[str, _Part]] = {}
        self.problems: dict[str, TemplateError] = {}
        for name in template_names(folder):
            try:
                self._parts[name] = self._load(name)
            except TemplateError as error:
                self.problems[name] = error

    @property
    def names(self) -> list[str]:
        """The templates that could be loaded; those that could not are in `problems`."""
        return sorted(self._parts)

    def render(self, name: str, context: Values) -> Rendered:
        """The message in words. Raises `TemplateError`."""
        parts = self._parts.get(name)
        if parts is None:
            raise self.problems.get(name) or TemplateError(name, "there is no such template", file=name)
        subject = one_line(self._fill(name, SUBJECT, parts[SUBJECT], context))
        if not subject:
            raise TemplateError(name, "the subject is empty", file=f"{name}/{SUBJECT}")
        html = self._fill(name, HTML, parts[HTML], context)
        text = self._fill(name, TEXT, parts[TEXT], context)
        return Rendered(subject, html.strip() + "\n", text.strip() + "\n")

    def sample(self, name: str) -> Values:
        """The context of the template's own sample. Raises `TemplateError`."""
        file = f"{name}/{SAMPLE}"
        try:
            return sample_context(_read_json(self.folder / file, name), self.brand)
        except (ValueError, TypeError, AttributeError) as error:
            raise TemplateError(name, str(error), file=file) from error

    def render_plain(self, name: str, context: Values) -> str:
        """The HTML without inlining, from the files as they are: what inlining must not change in words."""
        part = self._parts[name][HTML]
        assert part.plain is not None
        return self._fill(name, HTML, _Part(part.plain), context)

    def _load(self, name: str) -> dict[str, _Part]:
        parts: dict[str, _Part] = {}
        for file, environment in ((SUBJECT, self._text), (TEXT, self._text), (HTML, self._html)):
            path = f"{name}/{file}"
            with self._placed(name):
                plain = environment.get_template(path)
                if file == HTML:
                    compiled = self._html.from_string(inlined(path, self._source))
                    parts[file] = _Part(compiled, plain)
                else:
                    parts[file] = _Part(plain)
        return parts

    def _source(self, path: str) -> str:
        with self._placed(path.partition("/")[0]):
            return self._loader.get_source(self._html, path)[0]

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

    def _fill(self, name: str, file: str, part: _Part, context: Values) -> str:
        try:
            return self._capped(name, file, part.compiled, context)
        except TemplateError:
            raise
        except Exception as error:
            failure = error
        if part.plain is not None:
            # Inlining moves lines: the same failure once more, from the files as they are written.
            try:
                self._capped(name, file, part.plain, context)
            except Exception as error:
                failure = error
        path, line = _place(failure, self.folder) or (f"{name}/{file}", None)
        # What a value's own exception says may hold what the value holds: only Jinja's own words go out.
        words = str(failure) if isinstance(failure, JinjaError) else type(failure).__name__
        raise TemplateError(name, words, file=path, line=line)

    def _capped(self, name: str, file: str, template: Template, context: Values) -> str:
        size, chunks = 0, []
        for chunk in template.generate(context):
            size += len(chunk)
            if size > MAX_OUTPUT:
                raise TemplateError(
                    name, f"it became longer than {MAX_OUTPUT} characters", file=f"{name}/{file}"
                )
            chunks.append(chunk)
        return "".join(chunks)


def template_names(folder: Path) -> list[str]:
    """The names of the templates in a folder."""
    return sorted(
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))
    )


def _read_json(path: Path, name: str, default: Any = None) -> Any:
    if not path.is_file() and default is not None:
        return default
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TemplateError(name, "the file is missing", file=f"{name}/{path.name}") from None
    except json.JSONDecodeError as error:
        raise TemplateError(name, error.msg, file=f"{name}/{path.name}", line=error.lineno) from None
    if not isinstance(found, dict):
        raise TemplateError(name, "an object was expected", file=f"{name}/{path.name}")
    return found


def _place(error: BaseException, folder: Path) -> tuple[str, int | None] | None:
    """Where in the templates an exception came about: Jinja2 writes the files' own lines into the
    traceback."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix(), frame.lineno
    return None


# ---- check -------------------------------------------------------------------------------------------------


def check_templates(folder: Path) -> list[str]:
    """What is wrong with the templates of a folder, each rendered with its sample: empty when nothing is."""
    try:
        templates = Templates(folder)
    except TemplateError as error:
        return [str(error)]
    problems = [str(error) for error in templates.problems.values()]
    for name in templates.names:
        try:
            sample = templates.sample(name)
            rendered = templates.render(name, sample)
            plain = templates.render_plain(name, sample)
        except TemplateError as error:
            problems.append(str(error))
            continue
        problems += [f"template {name}: {problem}" for problem in _lint(rendered, plain)]
    return problems


class _Reading(HTMLParser):
    """What a lint needs to know of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.language = False
        self.bare_images = 0
        self.links: list[str] = []
        self._silent = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.language |= tag == "html" and bool(attributes.get("lang"))
        self.bare_images += tag == "img" and "alt" not in attributes
        if tag == "a":
            self.links.append(attributes.get("href") or "")
        self._silent += tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words += data.split()


def _lint(rendered: Rendered, plain: str) -> list[str]:
    page = _Reading(rendered.html)
    problems = []
    if page.words != _Reading(plain).words:
        problems.append("inlining changes its words: look for HTML that is not well-formed")
    if len(rendered.html.encode()) > CLIPPED:
        problems.append("the HTML is over 102 KB, where mail programs cut it off")
    if not page.language:
        problems.append("<html> has no lang")
    if page.bare_images:
        problems.append("an <img> has no alt text")
    if not rendered.text.strip():
        problems.append("the text part is empty")
    for link in page.links:
        if not re.match(r"(https://|mailto:|tel:|#)", link):
            problems.append(f"a link does not begin with https://: '{link[:60]}'")
    return problems


__all__ = ["Rendered", "Templates", "check_templates", "template_names"]
