"""The tags of MJML 4, what may stand in each, and their attributes: the tables that `mjml` checks against.

Taken from what the reference implementation (npm mjml 4) declares of its components. Left out are those that
load something from elsewhere (mj-font, mj-include) or need a form to work (mj-carousel).
"""

from __future__ import annotations

from collections.abc import Mapping


def _names(text: str = "") -> frozenset[str]:
    return frozenset(text.split())


PADDING = _names("padding padding-top padding-right padding-bottom padding-left")
BORDER = _names("border border-top border-right border-bottom border-left")
FONT = _names("font-family font-size font-weight")
BACKGROUND = _names(
    "background-color background-url background-repeat background-size background-position "
    "background-position-x background-position-y"
)
_COLUMN = _names(
    "mj-accordion mj-button mj-divider mj-image mj-navbar mj-raw mj-social mj-spacer mj-table mj-text"
)

HOLDS_HTML = _names(
    "mj-accordion-text mj-accordion-title mj-button mj-navbar-link mj-preview mj-raw mj-social-element "
    "mj-style mj-table mj-text mj-title"
)
"""Tags that hold text and HTML, and no other tag of MJML."""

CHILDREN: Mapping[str, frozenset[str]] = {
    "mjml": _names("mj-body mj-head mj-raw"),
    "mj-accordion": _names("mj-accordion-element mj-raw"),
    "mj-accordion-element": _names("mj-accordion-text mj-accordion-title mj-raw"),
    "mj-body": _names("mj-hero mj-raw mj-section mj-wrapper"),
    "mj-column": _COLUMN,
    "mj-group": _names("mj-column mj-raw"),
    "mj-head": _names("mj-attributes mj-breakpoint mj-preview mj-raw mj-style mj-title"),
    "mj-hero": _COLUMN,
    "mj-navbar": _names("mj-navbar-link mj-raw"),
    "mj-section": _names("mj-column mj-group mj-raw"),
    "mj-social": _names("mj-raw mj-social-element"),
    "mj-wrapper": _names("mj-hero mj-raw mj-section"),
}
"""What may stand in a tag; nothing where it is not here (and everything in mj-attributes)."""

_OWN: Mapping[str, frozenset[str]] = {
    "mj-body": _names("background-color width"),
    "mj-head": _names(),
    "mj-attributes": _names(),
    "mj-breakpoint": _names("width"),
    "mj-preview": _names(),
    "mj-style": _names("inline"),
    "mj-title": _names(),
    "mj-hero": PADDING
    | _names(
        "background-color background-height background-position background-url "
        "background-width border-radius container-background-color height "
        "inner-background-color inner-padding inner-padding-bottom inner-padding-left "
        "inner-padding-right inner-padding-top mode vertical-align"
    ),
    "mj-button": PADDING
    | BORDER
    | FONT
    | _names(
        "align background-color border-radius color container-background-color font-style "
        "height href inner-padding letter-spacing line-height name rel target text-align "
        "text-decoration text-transform title vertical-align width"
    ),
    "mj-column": PADDING
    | BORDER
    | _names(
        "background-color border-radius direction inner-background-color inner-border "
        "inner-border-bottom inner-border-left inner-border-radius inner-border-right "
        "inner-border-top vertical-align width"
    ),
    "mj-divider": PADDING
    | _names("align border-color border-style border-width container-background-color width"),
    "mj-group": _names("background-color direction vertical-align width"),
    "mj-image": PADDING
    | BORDER
    | _names(
        "align alt border-radius container-background-color fluid-on-mobile font-size height "
        "href max-height name rel sizes src srcset target title usemap width"
    ),
    "mj-raw": _names("position"),
    "mj-section": PADDING
    | BORDER
    | BACKGROUND
    | _names("border-radius direction full-width text-align text-padding"),
    "mj-spacer": PADDING | BORDER | _names("container-background-color height"),
    "mj-text": PADDING
    | FONT
    | _names(
        "align background-color color container-background-color font-style height "
        "letter-spacing line-height text-decoration text-transform vertical-align"
    ),
    "mj-table": PADDING
    | FONT
    | _names(
        "align border cellpadding cellspacing color container-background-color line-height "
        "role table-layout vertical-align width"
    ),
    "mj-wrapper": PADDING
    | BORDER
    | BACKGROUND
    | _names("border-radius direction full-width gap text-align text-padding"),
    "mj-social": PADDING
    | FONT
    | _names(
        "align border-radius color container-background-color font-style icon-height "
        "icon-padding icon-size inner-padding line-height mode table-layout text-decoration "
        "text-padding vertical-align"
    ),
    "mj-social-element": PADDING
    | FONT
    | _names(
        "align alt background-color border-radius color font-style href icon-height "
        "icon-padding icon-position icon-size line-height name rel sizes src srcset target "
        "text-decoration text-padding title vertical-align"
    ),
    "mj-navbar": PADDING
    | _names(
        "align base-url hamburger ico-align ico-close ico-color ico-font-family ico-font-size "
        "ico-line-height ico-open ico-padding ico-padding-bottom ico-padding-left "
        "ico-padding-right ico-padding-top ico-text-decoration ico-text-transform"
    ),
    "mj-navbar-link": PADDING
    | FONT
    | _names(
        "color font-style href letter-spacing line-height name rel target text-decoration text-transform"
    ),
    "mj-accordion": PADDING
    | _names(
        "border container-background-color font-family icon-align icon-height icon-position "
        "icon-unwrapped-alt icon-unwrapped-url icon-width icon-wrapped-alt icon-wrapped-url"
    ),
    "mj-accordion-element": _names(
        "background-color border font-family icon-align icon-height icon-position "
        "icon-unwrapped-alt icon-unwrapped-url icon-width icon-wrapped-alt icon-wrapped-url"
    ),
    "mj-accordion-text": PADDING | FONT | _names("background-color color letter-spacing line-height"),
    "mj-accordion-title": PADDING | FONT | _names("background-color color"),
}
_ANY = _names("css-class mj-class")

ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "mjml": _names("dir lang owa version"),
    "mj-class": frozenset().union(*_OWN.values(), ["name", "css-class"]),
    "mj-all": frozenset().union(*_OWN.values(), ["css-class"]),
    **{tag: names | _ANY for tag, names in _OWN.items()},
}
"""The attributes that a tag knows."""

SUPPORTED = frozenset(ATTRIBUTES)
