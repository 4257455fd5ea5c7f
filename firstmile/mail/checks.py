"""`firstmile check` of templates: everything that is wrong with them, before a customer finds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from firstmile.journey.problems import Problem
from firstmile.mail.errors import TemplateError
from firstmile.mail.lints import Page, lints
from firstmile.mail.templates import Templates, Variant


def check_templates(folder: Path, shown: str = "templates") -> list[Problem]:
    """What is wrong with the templates of a folder, which problems call `shown`: empty when nothing is."""
    templates = Templates(folder, checking=True)
    found = [_placed(error) for error in templates.problems]
    for name in templates.names:
        for variant in templates.variants(name):
            found += _checked(templates, variant)
    return [
        Problem(f"{shown}/{one.file}", one.line, one.field, one.message, one.severity)
        for one in dict.fromkeys(found)
    ]


def _checked(templates: Templates, variant: Variant) -> Iterator[Problem]:
    try:
        sample = templates.sample(variant.name, variant.folder or None)
        rendered = templates.render_variant(variant, sample)
        plain = templates.render_plain(variant, sample)
    except TemplateError as error:
        yield _placed(error)
        return
    if variant.html.file.endswith(".html.j2") and Page(rendered.html).words != Page(plain).words:
        problem = "inlining changes its words: look for HTML that is not well-formed"
        yield Problem(variant.html.file, None, "", problem)
    for problem in lints(rendered):
        yield Problem(variant.html.file, None, "", problem)


def _placed(error: TemplateError) -> Problem:
    return Problem(error.file or error.template, error.line, "", error.problem)
