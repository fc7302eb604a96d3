"""The log, timing, machine description, records and Markdown that the benchmarks share."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from soundgan.files import write_text

T = TypeVar("T")


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


def command_line(description: str | None, name: str) -> argparse.ArgumentParser:
    """Parser with the options of every benchmark that writes `NAME.json` and renders a page of it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"), help="folder of the page (%(default)s)")
    parser.add_argument("--render", action="store_true", help=f"render the page from {name}.json without measuring")
    return parser


def save(figures: Mapping[str, Any], record: Path) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    write_text(record, json.dumps(figures, indent=1) + "\n")


def load(record: Path) -> dict[str, Any]:
    return json.loads(record.read_text(encoding="utf-8"))


def number(value: float | None) -> str:
    """Three significant digits; a dash if there is no value."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown table; all columns but the first are aligned to the right."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def met(reached: bool) -> str:
    """Last cell of the row of a goal."""
    return "met" if reached else "**not met**"


def capitalized(title: str) -> str:
    """With a capital first letter, the rest unchanged."""
    return title[:1].upper() + title[1:]


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph in lines of the page's width."""
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def versions_line(machine: Mapping[str, Any]) -> str:
    return ", ".join(f"{package} {number}" for package, number in machine["versions"].items())
