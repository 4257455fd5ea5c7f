"""Whether people can read what is written: contrast as WCAG 2.2 reckons it (1.4.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping

ENOUGH = 4.5
"""For text of usual size."""
ENOUGH_FOR_LARGE = 3.0
"""From 24 px, or 18.66 px where it is bold."""
_HEX = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
_NAMED = {"white": "#ffffff", "black": "#000000"}


def colour(text: str | None) -> str | None:
    """The colour that a CSS value names, as `#rrggbb`; None for one that is not read here."""
    if not text:
        return None
    found = _HEX.search(text)
    if found is None:
        return _NAMED.get(text.strip().lower())
    digits = found[1].lower()
    return "#" + (digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))


def ratio(one: str, other: str) -> float:
    """The contrast of two colours `#rrggbb`: 1 (none) to 21 (black on white)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(hexadecimal: str) -> float:
    parts = (int(hexadecimal[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


PAIRS = (
    ("ink", "background"),
    ("ink", "surface"),
    ("ink", "tint"),
    ("muted", "background"),
    ("muted", "surface"),
    ("primary", "surface"),
    ("primary", "tint"),
    ("on_primary", "primary"),
)
"""What the layout writes on what."""


def faint(palette: Mapping[str, object]) -> list[tuple[str, str, float]]:
    """The pairs of a palette that are hard to read, with their contrast."""
    found: list[tuple[str, str, float]] = []
    for text, ground in PAIRS:
        one, other = colour(str(palette.get(text) or "")), colour(str(palette.get(ground) or ""))
        if one and other and ratio(one, other) < ENOUGH:
            found.append((text, ground, ratio(one, other)))
    return found
