"""A simulation as people read it: what happened, by local day, and a summary.

Values only: `render` makes lines of pieces with a style each, which the command line prints plainly or in
colour. The journal is the source; what it says in the engine's words is said here in those of somebody who
plans onboarding. One part a module: `days` and `summary`, over `simulated`, in `words`, on `lines`.
"""

from __future__ import annotations

from firstmile.journey.timeline.days import MARKS, days, head
from firstmile.journey.timeline.lines import WIDTH, Line, to_ascii
from firstmile.journey.timeline.simulated import Simulated
from firstmile.journey.timeline.summary import summary


def render(simulated: Simulated, *, columns: int = WIDTH, ascii_only: bool = False) -> list[Line]:
    """The head, the days and the summary, no line wider than `columns`.

    `ascii_only`: what is not ASCII is written in it, for terminals that can print nothing else.
    """
    lines = [*head(simulated, columns), *days(simulated, columns), *summary(simulated, columns)]
    return [to_ascii(line) for line in lines] if ascii_only else lines


__all__ = ["MARKS", "WIDTH", "Line", "Simulated", "render"]
