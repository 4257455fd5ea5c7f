"""The rules of the house that no tool holds by itself: the locks, the entry points, and who imports what.

Import contracts in pyproject.toml hold the rest. They cannot speak of one submodule of an external package,
nor of what an import really loads: that is held here.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-dev.lock")
HEAVY = ("temporalio", "sqlalchemy", "fastapi", "sendgrid", "httpx", "uvicorn", "alembic", "holidays")


# ---- locks -----------------------------------------------------------------------------------------------


def locked(lock: str) -> dict[str, list[Requirement]]:
    """The pins of a lock by package; a package has several when its pin depends on the environment."""
    pins: dict[str, list[Requirement]] = {}
    for line in (CHECKOUT / lock).read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\").strip())
            pins.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pins


def wanted(lock: str) -> list[str]:
    project = PYPROJECT["project"]
    dev: list[str] = project["optional-dependencies"]["dev"] if "dev" in lock else []
    return [*project["dependencies"], *dev]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_no_host_and_no_place_on_a_machine(lock: str) -> None:
    text = (CHECKOUT / lock).read_text()

    for trace in (
        "://",
        " @ ",
        "file:",
        "--index",
        "--extra-index",
        "--find-links",
        "--trusted-host",
        " /",
        "~/",
    ):
        assert trace not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_is_exact_and_hashed(lock: str) -> None:
    text = (CHECKOUT / lock).read_text()

    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[\w.\[\],-]+==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_satisfies_what_the_project_asks_for(lock: str) -> None:
    pins = locked(lock)

    for requirement in map(Requirement, wanted(lock)):
        for pin in pins[canonicalize_name(requirement.name)]:
            (version,) = (specifier.version for specifier in pin.specifier)
            assert requirement.specifier.contains(version, prereleases=True), f"{pin}: `make lock`"


def test_what_is_tested_is_what_runs() -> None:
    tested = locked("requirements-dev.lock")

    assert {name: list(map(str, pins)) for name, pins in locked("requirements.lock").items()}.items() <= {
        name: list(map(str, pins)) for name, pins in tested.items()
    }.items()


def test_the_lock_of_the_judges_pins_and_hashes_everything_and_names_no_registry() -> None:
    text = (CHECKOUT / "tests/judges/package-lock.json").read_text()
    packages: dict[str, dict[str, str]] = json.loads(text)["packages"]
    wanted = json.loads((CHECKOUT / "tests/judges/package.json").read_text())["dependencies"]

    assert '"resolved"' not in text
    assert packages.pop("")["dependencies"] == wanted
    for name, package in packages.items():
        assert package["version"], name
        assert package["integrity"].startswith("sha512-"), name
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted


# ---- commands --------------------------------------------------------------------------------------------


def test_the_console_script_answers_its_version() -> None:
    shown = subprocess.run(
        [Path(sys.executable).with_name("firstmile"), "--version"], check=True, capture_output=True, text=True
    )

    assert shown.stdout == f"firstmile {PYPROJECT['project']['version']}\n"


def test_the_command_line_loads_nothing_heavy_until_a_command_needs_it() -> None:
    assert not loaded_by("import firstmile.cli") & set(HEAVY)


@pytest.mark.parametrize(
    ("ending", "status"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("raise SystemExit('no')", 1), ("1 / 0", 1)],
)
@pytest.mark.parametrize("used", ["sys", "temporalio.bridge.temporal_sdk_bridge"])
def test_a_program_leaves_with_its_status_and_all_its_output(used: str, ending: str, status: int) -> None:
    program = f"""
import sys, {used}
from firstmile.cli import run
def program():
    print("x" * 100_000)
    {ending}
run(program)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert ended.returncode == status
    assert ended.stdout == "x" * 100_000 + "\n"
    assert bool(ended.stderr) == (ending not in ("pass", "raise SystemExit(3)"))


@pytest.mark.parametrize(("arguments", "command"), [([], "demo"), (["ONCE=1"], "demo --once")])
def test_make_demo_runs_the_demo(arguments: list[str], command: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    shown = subprocess.run(
        ["make", "--dry-run", "demo", *arguments],
        cwd=CHECKOUT, env=environ, check=True, capture_output=True, text=True,
    )  # fmt: skip

    assert re.search(rf"bin/firstmile {command}\s*$", shown.stdout)


def test_every_make_target_that_the_documentation_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    documents = [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), CHECKOUT / ".ci" / "run"]

    for document in documents:
        for target in re.findall(r"(?:^|`)make ([a-z]+)", document.read_text(), re.MULTILINE):
            assert target in targets, f"{document.name} names `make {target}`"


# ---- imports ---------------------------------------------------------------------------------------------


def modules(*roots: str) -> Iterator[tuple[str, Path]]:
    """Name and file of every module under packages or single files of the checkout."""
    for root in roots:
        base = CHECKOUT / root
        for file in (
            sorted(base.rglob("*.py")) if base.is_dir() else filter(Path.is_file, [base.with_suffix(".py")])
        ):
            parts = file.relative_to(CHECKOUT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


PRODUCT = ("firstmile", "workflows", "activities", "worker", "starter")


def imports(name: str, file: Path) -> set[str]:
    """What a module imports, as absolute dotted names: `from a import b` gives both `a` and `a.b`."""
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(), file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            found |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return found


def importers_of(target: str) -> set[str]:
    return {name for name, file in modules(*PRODUCT) if any(within(i, target) for i in imports(name, file))}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def loaded_by(statement: str) -> set[str]:
    """The names of all modules that a fresh interpreter has loaded after `statement`."""
    shown = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys; print(*sys.modules, sep='\\n')"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return set(shown.stdout.split())


def test_only_the_service_and_the_connection_use_temporals_client() -> None:
    importers = importers_of("temporalio.client")

    assert {name for name in importers if not within(name, "firstmile.service")} <= {"firstmile.connection"}


@pytest.mark.parametrize(
    "library", ["sendgrid", "smtplib", "aiosmtplib", "css_inline", "mrml", "playwright", "icalendar"]
)
def test_a_providers_library_is_imported_in_one_module(library: str) -> None:
    # Stand-ins and the demo may speak a provider's language too.
    assert len([name for name in importers_of(library) if not within(name, "firstmile.standins")]) <= 1


def test_the_engine_imports_only_what_the_design_names() -> None:
    allowed = {
        "pydantic",
        "pydantic_core",
        "jinja2",
        "markupsafe",
        "ruamel",
        "holidays",
        *sys.stdlib_module_names,
    }

    for name, file in modules("firstmile/journey"):
        for imported in imports(name, file):
            assert within(imported, "firstmile.journey") or imported.split(".")[0] in allowed, (
                f"{name} imports {imported}"
            )


def test_the_engine_is_given_the_time_and_the_chance_and_reads_no_file() -> None:
    outside = re.compile(
        r"(datetime|date)\.(now|utcnow|today)|time\.\w+|open|\w+\.(read_text|read_bytes|write_text)"
        r"|random\.(?!Random$)\w+|(uuid\.)?uuid[14]|secrets\.\w+|os\.\w+"
    )

    for name, file in modules("firstmile/journey"):
        for node in ast.walk(ast.parse(file.read_text(), file)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert not outside.fullmatch(called), f"{name}:{node.lineno} calls {called}"


def test_workflows_load_nothing_that_works_on_the_world() -> None:
    names = [name for name, _ in modules("workflows")]

    loaded = loaded_by(f"import {', '.join(names)}")

    assert not loaded & {
        *HEAVY,
        "firstmile.store",
        "firstmile.mail",
        "firstmile.web",
        "firstmile.standins",
    } - {
        "temporalio",
        "holidays",
    }
    assert {name for name in loaded if within(name, "activities")} <= {"activities", "activities.signatures"}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name for name, file in modules(*PRODUCT) if not ast.get_docstring(ast.parse(file.read_text(), file))
    ]

    assert silent == []
