"""The demo in a terminal: every segment, every customer, where they stand and what comes next.

It fits into what there is: columns go where the terminal is narrow, and finished customers are counted
instead of shown where it is low. Where there is no terminal, `Lines` says the same as plain lines, one for
each thing that happened.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO, Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from firstmile.demo.observer import Sight
from firstmile.demo.places import Places
from firstmile.demo.words import plainly, upcoming
from firstmile.journey.durations import DAY

MARKS: Final[Mapping[str, tuple[str, str]]] = {
    "starting": ("·", "dim"),
    "active": ("●", "cyan"),
    "paused": ("‖", "yellow"),
    "stuck": ("▲", "bold red"),
    "completed": ("✓", "green"),
    "stopped": ("■", "dim"),
}
"""How a status is shown: never by its colour alone."""

_BAR = 24
_WIDE = 110
"""From this width on there is room for where customers live, and for when they had their first value."""


class Display(Protocol):
    """Somewhere to tell what goes on."""

    def begin(self, places: Places) -> None: ...
    def show(self, sights: Sequence[Sight], note: str = "") -> None: ...
    def say(self, line: str) -> None: ...
    def end(self) -> None: ...


def display(console: Console) -> Display:
    """What suits where the output goes."""
    return Screen(console) if console.is_terminal else Lines(console.file)


# ---- without a terminal ----------------------------------------------------------------------------------


class Lines:
    """One line for each thing that happened: for logs."""

    def __init__(self, file: IO[str] = sys.stdout) -> None:
        self._file = file
        self._note = ""

    def begin(self, places: Places) -> None:
        for name, address in places:
            self.say(f"{name:<9} {address}")

    def show(self, sights: Sequence[Sight], note: str = "") -> None:
        for sight in sights:
            for day, words in sight.news:
                who = f"{sight.customer.segment:<11} {sight.customer.name:<18}"
                self.say(f"day {day:6.2f}  {who} {words}")
        if note != self._note:
            self._note = note
            self.say(note)

    def say(self, line: str) -> None:
        if line:
            print(line, file=self._file, flush=True)

    def end(self) -> None:
        """Nothing to tidy up."""


# ---- with a terminal -------------------------------------------------------------------------------------


class Screen:
    """A picture that is drawn anew several times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._places: Places | None = None
        self._live: Live | None = None
        self._began = time.monotonic()

    def begin(self, places: Places) -> None:
        self._places = places
        self._began = time.monotonic()
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def show(self, sights: Sequence[Sight], note: str = "") -> None:
        if self._live is None or self._places is None:
            return
        size = self._console.size
        elapsed = time.monotonic() - self._began
        self._live.update(picture(sights, self._places, size.width, size.height, elapsed, note), refresh=True)

    def say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False)

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def picture(
    sights: Sequence[Sight], places: Places, width: int, height: int, elapsed: float, note: str = ""
) -> RenderableType:
    """The whole picture, within a width and a height."""
    segments = list(dict.fromkeys(sight.customer.segment for sight in sights))
    head = _head(places, width, elapsed, note)
    airy = len(head) + len(sights) + 3 * len(segments) + 1 <= height
    room = height - len(head) - len(segments) - 2
    hidden = _hidden(sights, room) if not airy else set()
    parts: list[RenderableType] = [*head]
    for segment in segments:
        members = [sight for sight in sights if sight.customer.segment == segment]
        if airy:
            parts.append(Text())
        parts.append(_title(segment, members, width))
        parts.append(_customers([one for one in members if one.customer.id not in hidden], width))
    if hidden:
        parts.append(Text(f"  … and {len(hidden)} who have finished", style="dim"))
    return Group(*parts)


def _hidden(sights: Sequence[Sight], room: int) -> set[str]:
    """Whom to leave out: of those who have finished, as many as it takes."""
    over = [sight.customer.id for sight in sights if sight.over]
    return set(over[: max(0, len(sights) - max(room, 0) + (1 if len(sights) > room else 0))])


def _head(places: Places, width: int, elapsed: float, note: str) -> list[Text]:
    clock = f"{int(elapsed) // 60}:{int(elapsed) % 60:02}"
    title = Text.assemble((" Firstmile ", "bold reverse cyan"), f"  {note or 'onboarding'}  ", (clock, "dim"))
    longest = max(len(address) for _, address in places)
    cells = [
        Text.assemble((f" {name:<9}", "dim"), (f"{address:<{longest}}", "cyan")) for name, address in places
    ]
    per_line = 2 if 2 * len(cells[0]) <= width else 1
    return [title, *(Text().join(cells[at : at + per_line]) for at in range(0, len(cells), per_line))]


def _title(segment: str, members: Sequence[Sight], width: int) -> Text:
    day = max((sight.day for sight in members), default=0.0)
    last = max((sight.day + _left(sight) for sight in members if sight.view), default=0.0)
    done = min(1.0, day / last) if last else 0.0
    wide = width >= _WIDE
    bar = _BAR if wide else _BAR // 2
    onboarded = sum(sight.first_value is not None for sight in members)
    parts = [
        f"{onboarded} of {len(members)} onboarded" if wide else f"{onboarded}/{len(members)} onboarded",
        f"✉ {sum(sight.messages for sight in members)}",
        _count(sum(sight.answers for sight in members), "answer"),
    ]
    title = Text.assemble(
        (f" {plainly(segment):<11}", "bold"),
        ("━" * round(bar * done), "cyan" if not all(sight.over for sight in members) else "green"),
        ("─" * (bar - round(bar * done)), "dim"),
        f"  day {day:.0f} of {last:.0f}",
        (f"  {' · '.join(parts)}", "dim"),
    )
    stuck = sum(sight.view is not None and sight.view.status == "stuck" for sight in members)
    if stuck:
        title.append(f" · {stuck} stuck", style="bold red")
    title.truncate(width, overflow="ellipsis")
    return title


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _left(sight: Sight) -> float:
    """Days until the journey ends at the latest."""
    if sight.view is None or sight.view.ends is None or sight.over:
        return 0.0
    return max(0.0, (sight.view.ends - sight.now) / DAY)


def _customers(sights: Sequence[Sight], width: int) -> Table:
    wide = width >= _WIDE
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=2, justify="right")
    table.add_column(width=18, no_wrap=True, overflow="ellipsis")
    if wide:
        table.add_column(width=13, no_wrap=True, overflow="ellipsis", style="dim")
    table.add_column(width=9, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=5, no_wrap=True, overflow="ellipsis")
    table.add_column(ratio=5, no_wrap=True, overflow="ellipsis", style="dim")
    table.add_column(width=4, justify="right", no_wrap=True)
    if wide:
        table.add_column(width=9, justify="right", no_wrap=True)
    for sight in sights:
        table.add_row(*_row(sight, wide))
    return table


def _row(sight: Sight, wide: bool) -> list[RenderableType]:
    status: str = "starting" if sight.view is None else sight.view.status
    mark, style = MARKS[status]
    finished = "dim" if sight.over else ""
    alarm = style if status in ("stuck", "paused") else finished
    if sight.view is None or sight.over:
        # In hindsight, the whole story; before it, what is to come.
        stage, last, coming = status, sight.customer.about, sight.last if sight.over else ""
    else:
        stage, last = sight.view.stage or status, sight.last
        coming = upcoming(sight.view, sight.now, DAY)
    where = sight.customer.timezone.rpartition("/")[2]
    value = "" if sight.first_value is None else f"★ {sight.first_value:.1f} d"
    return [
        Text(mark, style=style),
        Text(sight.customer.name, style=finished),
        *([Text(plainly(where))] if wide else []),
        Text(stage, style=finished),
        Text(last, style=alarm),
        Text(coming, style=alarm),
        Text(f"✉ {sight.messages}" if sight.messages else "", style=finished),
        *([Text(value, style="green" if not finished else "dim green")] if wide else []),
    ]
