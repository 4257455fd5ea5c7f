"""The end of a demo, for people: the summary by segment, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from firstmile.demo.audit import Finding, Summary
from firstmile.demo.words import plainly

_WORST = 20
"""How many findings are written out."""


def show(
    console: Console,
    summaries: Sequence[Summary],
    findings: Sequence[Finding],
    decisions: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Print the summary, what was decided about messages, and every finding, or that there is none."""
    console.print()
    console.print(_table(summaries, roomy=console.width >= 100))
    for text, number in decisions.items():
        console.print(Text(f"Decided {'once' if number == 1 else f'{number} times'} of a message: {text}"))
    if not findings:
        console.print(
            "Nothing was lost, nothing was doubled, nobody is stuck.", style="green", highlight=False
        )
        return
    what = "1 thing is" if len(findings) == 1 else f"{len(findings)} things are"
    console.print(f"{what} wrong:", style="bold red", highlight=False)
    for found in findings[:_WORST]:
        who = found.customer or "nobody's"
        console.print(Text(f"  {found.kind:<10} {who:<12} {found.text}"))
    if len(findings) > _WORST:
        console.print(f"  … and {len(findings) - _WORST} more", highlight=False)


def _table(summaries: Sequence[Summary], *, roomy: bool) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1 if roomy else 0), pad_edge=False, show_footer=len(summaries) > 1
    )
    table.add_column("segment", footer=Text("all"), no_wrap=True)
    for name in ("started", "onboarded"):
        table.add_column(name, justify="right", no_wrap=True, footer=_sum(summaries, name))
    # A median of medians would say nothing.
    table.add_column("first value", justify="right", no_wrap=True)
    for name in ("messages", "answers", "stuck", "lost", "doubled"):
        table.add_column(name, justify="right", no_wrap=True, footer=_sum(summaries, name))
    for one in summaries:
        value = "–" if one.first_value is None else f"{one.first_value:.1f} d"
        numbers = (one.started, one.onboarded)
        bad = (one.stuck, one.lost, one.doubled)
        table.add_row(
            plainly(one.segment),
            *map(str, numbers),
            value,
            str(one.messages),
            str(one.answers),
            *(Text(str(number), style="bold red" if number else "green") for number in bad),
        )
    return table


def _sum(summaries: Sequence[Summary], name: str) -> str:
    return str(sum(getattr(one, name) for one in summaries))
