"""From a template with a layout to one flat template whose styles are inline: done once, when it is loaded.

Mail programs want styles in `style` attributes, and selectors reach across the layout and what fills its
blocks. So a template is first joined with its layout, then its Jinja tags are masked, MJML is compiled to
HTML, css_inline does its work, and the tags come back. A send then only fills in values.
"""

from __future__ import annotations

import re
from functools import cache

import css_inline

from firstmile.mail import mjml
from firstmile.mail.errors import TemplateError
from firstmile.mail.joining import Source, flattened
from firstmile.mail.masking import masked, unmasked

_TABLE_BODY = re.compile(r"</?tbody(\s[^>]*)?>", re.IGNORECASE)


def inlined(name: str, source: Source) -> str:
    """The template `name` as one text of HTML: joined with its layout, styles inline. Raises
    `TemplateError`, whose `others` are what else is wrong with it."""
    pieces = flattened(name, source)
    if name.endswith(mjml.SUFFIX):
        before, pieces = mjml.opened(name, pieces)
        hidden = masked(name, pieces, "mjml")
        return before + unmasked(name, _with_styles(name, mjml.compiled(name, hidden)), hidden, "MJML")
    hidden = masked(name, pieces, "html")
    return unmasked(name, _with_styles(name, hidden.text), hidden, "an HTML parser")


def _with_styles(name: str, html: str) -> str:
    try:
        found = _inliner().inline(html)
    except css_inline.InlineError as error:
        raise TemplateError(name, f"the styles cannot be inlined: {error}") from error
    # The parser writes out the <tbody> that HTML implies: inside a loop, it would be opened each time round.
    # Whoever reads the message implies it again.
    return _TABLE_BODY.sub("", found)


@cache
def _inliner() -> css_inline.CSSInliner:
    # Without keep_at_rules the @media rules for dark mode and small screens are dropped; without keep_link_tags,
    # silently, what was meant to be loaded from elsewhere (`lints` refuses it).
    return css_inline.CSSInliner(keep_at_rules=True, keep_link_tags=True, load_remote_stylesheets=False)
