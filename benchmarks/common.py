"""The log, timing, machine description, records and pages that the benchmarks share."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from soundgan.files import write_text

T = TypeVar("T")
Figures = dict[str, Any]


def log(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def timed(function: Callable[..., T], *arguments: Any, **named: Any) -> tuple[float, T]:
    """Call a function; return the seconds that it took, and its result."""
    start = time.perf_counter()
    result = function(*arguments, **named)
    return time.perf_counter() - start, result


def processor() -> str:
    """Name of the CPU."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return (names or [platform.processor() or platform.machine()])[0]


def versions(*packages: str) -> dict[str, str]:
    """Version of Python, and of those packages that are installed."""
    installed = {"Python": platform.python_version()}
    for package in packages:
        with suppress(PackageNotFoundError):
            installed[package] = version(package)
    return installed


def command_line(description: str | None, record: str | None = None) -> argparse.ArgumentParser:
    """Parser whose help is a module's docstring, with the options of a benchmark that writes a record and a page."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if record:
        parser.add_argument(
            "--out", type=Path, default=Path("docs/benchmarks"), help="folder of the page (%(default)s)"
        )
        parser.add_argument("--render", action="store_true", help=f"render the page from {record} without measuring")
    return parser


def save(figures: Mapping[str, Any], record: Path) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    write_text(record, json.dumps(figures, indent=1) + "\n")


def load(record: Path) -> Figures:
    return json.loads(record.read_text(encoding="utf-8"))


def number(value: float | None) -> str:
    """Three significant digits; a dash if there is no value."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def capitalized(title: str) -> str:
    """With a capital first letter, the rest unchanged."""
    return title[:1].upper() + title[1:]


def write_page(template: str, folder: Path, values: Mapping[str, Any]) -> None:
    """Render a template of this package, such as `serving/stress.md.j2`, to the Markdown file of its name."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"number": number, "capitalized": capitalized}
    write_text(folder / Path(template).stem, environment.get_template(template).render(values))
