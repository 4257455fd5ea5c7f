"""The documentation says what is so: what it shows is what comes, and what it lists is what there is.

How a page is read here:

- A block of `console` holds commands (`$ …`) with what they print; they are run, a page in one shell from top
  to bottom. `…` stands for anything, on a line of its own for any lines. `console live` is run while a stack
  as that of `firstmile dev` runs beside it.
- Another block with a file's name after its language is that file, saved where the shell stands.
- A block of `sh` takes long, or ends nothing: it is not run; but its programs and options exist.
"""

from __future__ import annotations

import ast
import asyncio
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pytest
import typer.main
from jinja2 import nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from prometheus_client.parser import text_string_to_metric_families

from firstmile import cli
from firstmile.demo.cast import CAST
from firstmile.demo.customers import COLLEAGUES
from firstmile.demo.preparing import colleagues_known
from firstmile.demo.stack import Stack
from firstmile.demo.surroundings import FAMILIAR, Ports, Surroundings
from firstmile.dev.releasing import release
from firstmile.journey import expression_compiler, expressions
from firstmile.journey.inputs import COMMANDS
from firstmile.journey.model import KINDS
from firstmile.settings import Settings, variable
from firstmile.store import schema
from firstmile.store.database import Database
from firstmile.store.metrics import Observed, Sample, Snapshot
from firstmile.store.tallies import COUNTS, HISTOGRAMS
from firstmile.web import problems
from firstmile.web.exposition import exposition

CHECKOUT = Path(__file__).resolve().parents[1]
DOCS = CHECKOUT / "docs"
PAGES = [
    *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted(DOCS.glob("*.md")),
]
LIVE = ("quickstart.md", "http.md")
"""The pages with `console live`, in the order in which they are read: they share one stack."""

BIN = Path(sys.executable).parent
PATIENCE = 15.0
"""Seconds after which a look must show what is written: a worker has to come first."""


# ---- reading pages ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block. `info` is what stands after its language, `line` where it begins."""

    page: Path
    line: int
    language: str
    info: str
    text: str


@dataclass(frozen=True)
class Step:
    """A command, and what it is said to print; None where nothing is said."""

    place: str
    command: str
    shown: str | None


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    text = text_of(page)
    for found in re.finditer(r"^```(\w+)(?:[ ]([^\n]+))?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        language, info, inside = found.groups()
        yield Block(page, text.count("\n", 0, found.start()) + 1, language, info or "", inside)


def prose(page: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def steps(block: Block) -> Iterator[Step]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        while command.endswith("\\"):
            more, _, shown = shown.partition("\n")
            command = f"{command}\n{more}"
        yield Step(f"{block.page.name}:{block.line}", command, shown or None)


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def section(page: Path, head: str) -> str:
    """What stands under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(head)}\n(.*?)(?=^#+ |\Z)", text_of(page), re.MULTILINE | re.DOTALL)
    assert found, f"{page.name} has no section '{head}'"
    return found.group(1)


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip().replace(r"\|", "|") for cell in row] for row in cells[2:]]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


# ---- running pages ---------------------------------------------------------------------------------------


class Shell:
    """One bash that a page's commands are typed into."""

    def __init__(self, folder: Path) -> None:
        for name in ("journeys", "templates", "starter.py", "worker.py", "benchmarks"):
            (folder / name).symlink_to(CHECKOUT / name)
        environment = {
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONTZPATH": "",
        }
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def run(self, command: str) -> tuple[str, int]:
        """What a command prints, and its status."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{{ {command}\n}} < /dev/null\nprintf '\\n\\036%s\\n' $?\n")
        self._bash.stdin.flush()
        lines: list[str] = []
        for line in self._bash.stdout:
            if line.startswith("\x1e"):
                lines[-1:] = [] if lines[-1:] == ["\n"] else [lines[-1].removesuffix("\n")] if lines else []
                return "".join(lines), int(line[1:])
            lines.append(line)
        raise AssertionError(f"the shell ended with: {command}")

    def save(self, name: str, text: str) -> None:
        file = Path(self.run("pwd")[0].strip(), name)
        assert file.parent.is_dir(), f"{name} is to be saved in a folder that is not there"
        file.write_text(text, encoding="utf-8")

    def close(self) -> None:
        for stream in (self._bash.stdin, self._bash.stdout):
            if stream is not None:
                stream.close()
        self._bash.wait(10)


def matches(shown: str, printed: str) -> bool:
    """Whether something was printed as it is shown, trailing blanks apart."""
    pattern = ""
    for line in tidy(shown):
        pattern += r"(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in tidy(printed))) is not None


def tidy(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def looks(command: str) -> bool:
    """Whether a command only looks, and may be given again until a worker has come."""
    return command.startswith(("firstmile status", "firstmile list")) or (
        command.startswith(("curl", "api")) and " -d " not in command and " -X " not in command
    )


def carry_out(shell: Shell, block: Block, changed: Callable[[str], str] = str) -> None:
    """Save a file, or run commands and hold what they print against what is shown."""
    if block.language not in ("console", "sh", "text"):
        if block.info:
            shell.save(block.info, block.text)
        return
    for step in steps(block) if block.language == "console" else ():
        command, shown = changed(step.command), None if step.shown is None else changed(step.shown)
        until = time.monotonic() + (PATIENCE if looks(command) and block.info == "live" else 0)
        while True:
            printed, status = shell.run(command)
            right = status == 0 if shown is None else matches(shown, printed)
            if right or time.monotonic() > until:
                break
            time.sleep(0.2)
        assert right, f"{step.place}: $ {command}\n{printed}(status {status}), where the page has\n{shown}"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    found = Shell(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in LIVE], ids=lambda page: page.stem
)
def test_what_a_page_shows_is_what_comes(page: Path, shell: Shell) -> None:
    for block in blocks(page):
        carry_out(shell, block)


async def test_what_the_pages_show_of_a_running_stack_is_what_comes(tmp_path: Path, shell: Shell) -> None:
    queue = [block for name in LIVE for block in blocks(DOCS / name)]
    first = next(number for number, block in enumerate(queue) if block.info == "live")
    for block in queue[:first]:
        await asyncio.to_thread(carry_out, shell, block)
    place = Surroundings(
        tmp_path / "mine/state", Ports.choose(), tmp_path / "mine/journeys", tmp_path / "mine/templates"
    )
    place.directory.mkdir()

    def changed(text: str) -> str:
        for name, port in FAMILIAR.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{getattr(place.ports, name)}")
        return text

    async with Stack.running(place, prepare=_prepared(place)):
        for block in queue[first:]:
            await asyncio.to_thread(carry_out, shell, block, changed)


def _prepared(place: Surroundings) -> Callable[[], Awaitable[None]]:
    """What `firstmile dev` does before its stack takes sign-ups."""

    async def prepare() -> None:
        await schema.upgrade(place.database_url)
        database = Database(place.database_url)
        try:
            await colleagues_known(database, COLLEAGUES)
            await release(database, place.journeys, place.templates, datetime.now(UTC))
        finally:
            await database.close()

    return prepare


# ---- what is named exists --------------------------------------------------------------------------------


class Command(Protocol):
    """What is read of a command (typer brings click under a name of its own)."""

    params: list[Any]


@cache
def commands() -> dict[str, Command]:
    found: dict[str, Command] = vars(typer.main.get_command(cli.app))["commands"]
    return found


def written_commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of a block of `sh` and every `firstmile …` in the text, as words."""
    for page in PAGES:
        for block in blocks(page):
            if block.language == "sh":
                text = re.sub(r"\\\n", " ", block.text)
                for line in text.splitlines():
                    words = shlex.split(line, comments=True)
                    while words and re.match(r"[A-Z_]+=", words[0]):
                        words = words[1:]
                    if words:
                        yield f"{page.name}:{block.line}", words
        for quoted in code(prose(page)):
            if re.match(r"firstmile [a-z-]+", quoted):
                yield page.name, quoted.replace("…", "").split()


def test_every_command_that_is_written_exists_with_its_options() -> None:
    wrong = [(place, words) for place, words in written_commands() if not _exists(words[0], words[1:])]

    assert not wrong


def _exists(program: str, rest: list[str]) -> bool:
    match program, rest:
        case "firstmile", [name, *_] if not name.startswith("-"):
            command = commands().get(name)
            known = {option for one in command.params for option in one.opts} if command else set()
            given = {word.partition("=")[0] for word in rest if word.startswith("--")}
            return command is not None and given <= known | {"--help"}
        case "make", targets:
            there = re.findall(r"^([a-z.]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
            return {target for target in targets if "=" not in target} <= {".venv", *there}
        case "python", ["-m", module, *_]:
            return find_spec(module) is not None
        case "python", [script, *_]:
            return (CHECKOUT / script.removeprefix("../")).is_file()
    return True


def test_every_link_inside_leads_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", prose(page)):
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append((page.name, target))

    assert not broken


ROOM = r"((?:tests|firstmile|workflows|activities|benchmarks)/[\w/.-]*)"


def test_every_test_and_file_that_is_named_exists() -> None:
    missing = []
    for page in PAGES:
        for named in code(prose(page)):
            found = re.fullmatch(
                r"((?:tests|firstmile|workflows|activities|benchmarks)/[\w/.-]*)(?:::(\w+))?", named
            )
            if found is None:
                continue
            file, function = CHECKOUT / found.group(1), found.group(2)
            if not file.exists() or (function and function not in _functions(file)):
                missing.append((page.name, named))

    assert not missing


def _functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_page_is_an_island() -> None:
    linked = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+\.md)", text_of(page))
    }

    assert set(PAGES) - linked <= {CHECKOUT / "README.md"}


def test_the_picture_of_the_demo_has_its_addresses_and_its_customers() -> None:
    pictures = "".join(block.text for block in blocks(CHECKOUT / "README.md") if block.language == "text")
    shown = {int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", pictures)}

    assert shown == {FAMILIAR[name] for name in ("web", "inbox", "temporal_ui")}
    assert set(re.findall(r"^ [●■✓] (\S+ \S+)", pictures, re.MULTILINE)) <= {one.name for one in CAST}


# ---- what there is is named ------------------------------------------------------------------------------


def test_every_command_of_the_command_line_is_explained() -> None:
    explained = set(re.findall(r"`firstmile ([a-z-]+)", section(DOCS / "operating.md", "Commands")))

    assert set(commands()) <= explained


def test_every_command_on_a_journey_says_when_it_is_rejected() -> None:
    explained = {
        code(row[0])[0]: row for row in rows(section(DOCS / "operating.md", "Commands on a journey"))
    }

    assert set(explained) == {command.replace("_", "-") for command in COMMANDS}
    assert all(row[-1] for row in explained.values())


def test_every_setting_is_in_the_table_with_its_meaning() -> None:
    shown = {code(row[0])[0]: row[1:] for row in rows(section(DOCS / "operating.md", "Settings"))}
    meant = {
        variable(name): [_default(field.default), field.description or ""]
        for name, field in Settings.model_fields.items()
    }

    table = "\n".join(f"| `{name}` | {default} | {what} |" for name, (default, what) in meant.items())
    assert shown == meant, f"the table should be\n{table}"


def _default(value: object) -> str:
    if isinstance(value, timedelta):
        minutes, seconds = divmod(int(value.total_seconds()), 60)
        return f"{minutes} minutes" if minutes else f"{seconds} seconds"
    if value in (None, "", (), {}) or not isinstance(value, str | int | bool):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_every_metric_is_listed_with_its_labels() -> None:
    listed = {code(row[0])[0]: set(code(row[1])) for row in rows(section(DOCS / "operating.md", "Metrics"))}

    assert listed == {**exposed(), "firstmile_core_up": set()}


def exposed() -> dict[str, set[str]]:
    """Every metric of the service with its labels, as `/metrics` writes them when each has a sample."""

    def sample(labels: tuple[str, ...]) -> Sample:
        return Sample(tuple((label, "x") for label in labels), 1)

    counts = {name: [sample(labels)] for name, labels in COUNTS.items()}
    counters = {name: found for name, found in counts.items() if name.endswith("_total")}
    gauges = {name: found for name, found in counts.items() if name not in counters}
    gauges["hold"] = [sample(("scope",))]
    gauges["webhook_last_event_timestamp_seconds"] = [sample(("provider",))]
    histograms = {
        name: [Observed(sample(one.labels).labels, ((float("inf"), 1),), 1)]
        for name, one in HISTOGRAMS.items()
    }
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition(Snapshot(counters, gauges, histograms))):
        for one in family.samples:
            name = re.sub(r"_(bucket|sum|count)$", "", one.name) if family.type == "histogram" else one.name
            found.setdefault(name, set()).update(set(one.labels) - {"le"})
    return found


def test_every_problem_type_is_listed_with_its_status() -> None:
    listed = {code(row[0])[0]: int(row[1]) for row in rows(section(DOCS / "http.md", "Problems"))}

    for kind in problems.KINDS.values():
        assert listed.get(kind.slug) == kind.status
    assert set(problems._TITLES) <= set(listed)


def test_every_kind_of_step_has_its_row() -> None:
    assert [code(row[0])[0] for row in rows(section(DOCS / "journeys.md", "Kinds of steps"))] == list(KINDS)


@pytest.mark.parametrize(
    ("head", "there"),
    [
        ("Filters", expressions.FILTERS),
        ("Tests", expressions.TESTS),
        ("Functions", expressions.FUNCTIONS),
        ("Names", expressions.NAMES),
    ],
)
def test_what_expressions_may_use_is_listed(head: str, there: dict[str, object]) -> None:
    words = [re.split(r"[(. ]", row[0].strip("`"))[0] for row in rows(section(DOCS / "journeys.md", head))]
    listed = [name for row in rows(section(DOCS / "journeys.md", head)) for name in code(row[0])]

    assert sorted({re.split(r"[(. ]", name)[0] for name in listed}) == sorted(there), words


def test_every_construct_of_expressions_is_shown_and_nothing_else_compiles() -> None:
    used: set[type[nodes.Node]] = set()
    for row in rows(section(DOCS / "journeys.md", "Constructs")):
        for example in code(row[1]):
            assert not expressions.examine_expression(example).problems, example
            used |= _kinds(example)
    refused = code(section(DOCS / "journeys.md", "What is refused"))

    missing = {node.__name__ for node in set(expression_compiler._RULES) - used}
    assert not missing
    assert all(expressions.examine_expression(one).problems for one in refused if " " in one or "(" in one)


def _kinds(example: str) -> set[type[nodes.Node]]:
    tree = Parser(ImmutableSandboxedEnvironment(), example, state="variable").parse_expression()
    found, waiting = set[type[nodes.Node]](), [tree]
    while waiting:
        node = waiting.pop()
        found.add(type(node))
        waiting += node.iter_child_nodes()  # type: ignore[arg-type]  # statements do not stand in expressions
    return found
