"""Experiments: which variant a subject sees is a pure function, so that nobody has to remember it.

The first eight bytes of SHA-256 over the experiment's name and the subject's id place the subject on a line
that the variants divide in proportion to their weights, in the order of the journey file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

_RANGE = 1 << 64


def fraction(*parts: str | int) -> int:
    """A number in [0, 2**64) that depends on `parts` alone: the source of all that must look random."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def draw(experiment: str, variants: Mapping[str, int], subject: str) -> str:
    """The variant of `experiment` for `subject`; `variants` are the weights, of which one is positive."""
    total = sum(variants.values())
    place = fraction("experiment", experiment, subject) * total // _RANGE
    for variant, weight in variants.items():
        if place < weight:
            return variant
        place -= weight
    raise ValueError(f"experiment '{experiment}' has no variant with a weight above 0")
