"""`firstmile check` of templates: everything that is wrong with them, before a customer finds it.

Each template is rendered in every language and in every situation that it can be in: those of its sample,
and, where journeys are known, those of each step that sends it. What goes out is then looked at as a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from firstmile.journey.model import Assign, Journey, Training
from firstmile.journey.problems import Problem, nearest, unknown
from firstmile.mail.context import sample_context
from firstmile.mail.contrast import ENOUGH, faint
from firstmile.mail.environment import environment
from firstmile.mail.errors import TemplateError
from firstmile.mail.joining import Piece, dropped, flattened
from firstmile.mail.lints import Frame, lints
from firstmile.mail.locales import folders
from firstmile.mail.message_settings import FILE as MESSAGE_FILE
from firstmile.mail.message_settings import read_message_settings
from firstmile.mail.page import Page
from firstmile.mail.reading import Read, reads
from firstmile.mail.situations import Situation, Usage, of_sample, of_usage, usages
from firstmile.mail.templates import LAYOUT, Templates, Variant, template_names

BRAND_FILE = f"{LAYOUT}/brand.json"


def check_templates(
    folder: Path,
    journeys: Mapping[str, Journey] | None = None,
    *,
    shown: str = "templates",
    named_only: bool = False,
) -> list[Problem]:
    """What is wrong with the templates of a folder, which problems call `shown`, and with how `journeys` (by
    their files) use them: empty when nothing is. `named_only`: only with those that the journeys name."""
    templates = Templates(folder, checking=True)
    used = usages(journeys or {})
    everywhere = [usage for steps in used.values() for usage in steps]
    wanted = {LAYOUT, *used} if named_only else {LAYOUT, *template_names(folder)}
    found = [_placed(error) for error in templates.problems if error.template in wanted]
    found += _palettes(templates)
    for name in templates.names:
        if name not in wanted:
            continue
        for variant in templates.variants(name):
            found += _Check(templates, variant, used.get(name, []), everywhere).problems()
    found = [Problem(f"{shown}/{one.file}", one.line, one.field, one.message, one.severity) for one in found]
    found += _sessions(templates, everywhere)
    return sorted(dict.fromkeys(found), key=lambda one: (one.file, one.line or 0))


def _placed(error: TemplateError, where: str = "") -> Problem:
    return Problem(error.file or error.template, error.line, "", error.problem + where)


def _palettes(templates: Templates) -> Iterator[Problem]:
    colours = templates.brand.get("colours")
    for scheme in ("light", "dark"):
        palette = colours.get(scheme) if isinstance(colours, dict) else None
        for text, ground, contrast in faint(palette) if isinstance(palette, dict) else ():
            message = (
                f"on '{ground}' it is hard to read: a contrast of {contrast:.1f}, where {ENOUGH} is needed"
            )
            yield Problem(BRAND_FILE, None, f"colours.{scheme}.{text}", message)


def _sessions(templates: Templates, everywhere: Sequence[Usage]) -> Iterator[Problem]:
    for usage in everywhere:
        does = usage.step.does
        if isinstance(does, Training) and does.session not in templates.sessions:
            field = f"steps.{usage.step.id}.training.session"
            yield Problem(usage.file, None, field, unknown("session", does.session, templates.sessions))


@dataclass(frozen=True)
class _Check:
    """One template in one language: the steps that send it, and those that send any template."""

    templates: Templates
    variant: Variant
    used: Sequence[Usage]
    everywhere: Sequence[Usage]

    def problems(self) -> Iterator[Problem]:
        variant = self.variant
        yield from self._layouts()
        yield from self._dropped()
        yield from self._names()
        if not variant.folder:
            yield from self._senders()
        try:
            sample = self.templates.sample_values(variant.name, variant.folder or None)
        except TemplateError as error:
            yield _placed(error)
            return
        failed: dict[Problem, str] = {}
        for situation in of_sample(sample):
            self._try(situation, situation.label, failed)
        for usage in self.used:
            for situation in of_usage(usage, sample, self.templates.sessions):
                self._try(situation, f"{usage}, {situation.label}", failed)
        for problem, where in failed.items():
            yield Problem(problem.file, problem.line, "", f"{problem.message} ({where})")
        if not failed:
            yield from self._lints(sample)

    def _try(self, situation: Situation, where: str, failed: dict[Problem, str]) -> None:
        try:
            self._rendered(situation)
        except TemplateError as error:
            failed.setdefault(_placed(error), where)

    def _rendered(self, situation: Situation) -> None:
        values = sample_context(situation.values, self.templates.brand)
        subject = self.templates.fill(self.variant, self.variant.subject, values)
        if len(subject.strip().splitlines()) > 1:
            raise TemplateError(
                self.variant.name, "the subject has more than one line", file=self.variant.subject.file
            )
        self.templates.render_variant(self.variant, values)

    # ---- the page ----

    def _lints(self, sample: Mapping[str, object]) -> Iterator[Problem]:
        variant, templates = self.variant, self.templates
        files = {"html": variant.html.file, "text": variant.text.file, "brand": BRAND_FILE}
        brand = templates.brand_in(variant.language)
        for situation in of_sample(sample):
            values = sample_context(situation.values, templates.brand)
            rendered = templates.render_variant(variant, values)
            frame = Frame(
                address=brand.get("address"),
                website=brand.get("website"),
                preferences=values["links"].get("preferences"),
                transactional=bool(self.used) and all(usage.transactional for usage in self.used),
            )
            for lint in lints(rendered, frame):
                yield Problem(files[lint.part], None, "", lint.message)
            if variant.html.file.endswith(".html.j2"):
                plain = templates.fill(variant, variant.html.as_written, values)
                if Page(rendered.html).words != Page(plain).words:
                    problem = "inlining changes its words: look for HTML that is not well-formed"
                    yield Problem(files["html"], None, "", problem)

    def _senders(self) -> Iterator[Problem]:
        """Roles that messages are to come from, and that were probably meant otherwise."""
        name = self.variant.name
        try:
            settings = read_message_settings(self.templates.folder, name)
        except TemplateError as error:
            yield _placed(error)
            return
        # A role that only other journeys have is none's mistake: where nobody has it, it is the brand.
        roles = dict.fromkeys(role for usage in self.everywhere for role in _roles(usage.journey))
        for key, role in (("from", settings.sender), ("reply_to", settings.reply_to)):
            if role is not None and role not in roles and nearest(role, roles):
                yield Problem(f"{name}/{MESSAGE_FILE}", None, key, unknown("owner", role, roles))

    def _layouts(self) -> Iterator[Problem]:
        """A message in a language, in a layout of another one."""
        variant = self.variant
        for part in (variant.html, variant.text):
            used: set[str] = set()

            def source(file: str, used: set[str] = used) -> str:
                used.add(file)
                return self.templates.source(file)

            flattened(part.file, source)
            for file in sorted(used):
                own = [f"{LAYOUT}/{folder}/{Path(file).name}" for folder in folders(variant.folder)]
                there = [one for one in own if (self.templates.folder / one).is_file()]
                if Path(file).parent.name == LAYOUT and there and not used & set(there):
                    message = f"its layout is in another language: extend or include {there[0]}"
                    yield Problem(part.file, None, "", message)

    def _dropped(self) -> Iterator[Problem]:
        """What would be left out of the message without a word: it fills no block of its layout."""
        for part in (self.variant.subject, self.variant.html, self.variant.text):
            for lost in dropped(part.file, self.templates.source):
                message = "this stands outside the blocks, and would be left out: move it into `content`"
                if lost.block:
                    message = unknown("block", lost.block, lost.known, where=", which would be left out")
                yield Problem(lost.piece.file, lost.piece.line, "", message)

    # ---- the names ----

    def _names(self) -> Iterator[Problem]:
        """Names that no step that sends the template has, also in branches that are not taken."""
        if not self.used:
            return
        for part in (self.variant.subject, self.variant.html, self.variant.text):
            pieces = flattened(part.file, self.templates.source)
            for read in reads(_ENVIRONMENT, "".join(piece.text for piece in pieces)):
                file, line = _place(pieces, read)
                # A layout is for all journeys; what one of them has is no mistake there.
                shared = self.everywhere if file.startswith(f"{LAYOUT}/") else self.used
                if (problem := self._unknown(read, shared)) is not None:
                    yield Problem(file, line, "", problem)

    def _unknown(self, read: Read, shared: Sequence[Usage]) -> str | None:
        # A function answers for what is not in a journey (it never came about), and an owner is empty: then it
        # is enough that one journey has the name. A trait or a link that is missing fails the message.
        strict = read.of in ("traits", "links", "session")
        lacking: list[tuple[Usage, Sequence[str]]] = []
        for usage in self.used if strict else shared:
            there = _there(usage, read)
            if there is None or read.name in there:
                if not strict:
                    return None
                continue
            lacking.append((usage, there))
        if not lacking:
            return None
        usage, there = lacking[0]
        if read.of == "session":
            return f"only a training has a session ({usage})"
        if read.of == "owner" and nearest(read.name, there) is None:
            # Templates are shared by journeys with and without owners, and ask whether there is one.
            return None
        return f"{unknown(_WORDS[read.of], read.name, there)} ({usage})"


def _there(usage: Usage, read: Read) -> Sequence[str] | None:
    """What a step has of what is read; None where any name will do."""
    journey = usage.journey
    match read.of:
        case "traits":
            return None if journey.traits is None else list(journey.traits)
        case "links":
            return list(usage.links)
        case "owner":
            return _roles(journey)
        case "variant":
            return list(journey.experiments)
        case "session":
            return [read.name] if isinstance(usage.step.does, Training) else []
        case "count":
            return None
    return list(journey.by_id)


def _roles(journey: Journey) -> list[str]:
    return [step.id for step in journey.steps if isinstance(step.does, Assign)]


_WORDS: Mapping[str, str] = {
    "traits": "trait",
    "links": "link",
    "owner": "owner",
    "variant": "experiment",
    "reached": "step",
    "missed": "step",
    "done": "step",
    "skipped": "step",
    "result": "step",
}
_ENVIRONMENT = environment(None, autoescape=False)


def _place(pieces: Sequence[Piece], read: Read) -> tuple[str, int]:
    """File and line of a name, of its line in the joined text."""
    ends = list(accumulate(piece.text.count("\n") for piece in pieces))
    here = [
        (piece, read.line - 1 - (end - piece.text.count("\n")))
        for piece, end in zip(pieces, ends, strict=True)
        if end - piece.text.count("\n") <= read.line - 1 <= end
    ]
    tags = [one for one in here if one[0].word is not None and read.name in one[0].text] or here
    piece, inside = tags[0]
    return piece.file, piece.line + inside
