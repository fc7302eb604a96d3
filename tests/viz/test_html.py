"""Pages from templates: whole, escaped, and without other files."""

from __future__ import annotations

import subprocess
import sys

import jinja2
import pytest
from pages import parsed

from soundgan.viz.html import render

EVIL = '<script>alert("&\'")</script>'
PAGE = {
    "name": EVIL,
    "samples_seen": 12_345,
    "minutes": 2.0,
    "key_figures": [(EVIL, EVIL, EVIL)],
    "remarks": [EVIL],
    "chart": lambda title, keys, **options: EVIL,
    "best": None,
    "target_d_accuracy": 0.7,
    "snapshots": [],
    "data_report": EVIL,
    "settings": [
        (EVIL, EVIL),
        ("flag", True),
        ("nothing", None),
        ("list", [1, EVIL]),
        ("dict", {EVIL: 2}),
        ("x", 0.12345),
    ],
}


def test_every_value_is_escaped_and_its_text_unchanged() -> None:
    text = render("training_report.html.j2", **PAGE)
    page = parsed(text)
    assert "script" not in page.seen and EVIL not in text
    assert page.text.count(EVIL) == 19


def test_plain_values_read_as_text() -> None:
    text = parsed(render("training_report.html.j2", **PAGE)).text
    for expected in ("flagyes", "nothingnone", f"list1, {EVIL}", f"dict{EVIL} 2", "x0.123"):
        assert expected in text


def test_page_contains_its_style_and_refers_to_nothing_outside() -> None:
    text = render("training_report.html.j2", **PAGE)
    assert text.startswith("<!doctype html>") and "prefers-color-scheme: dark" in text
    assert "http" not in text and "@import" not in text and "<link" not in text


def test_missing_variable_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="remarks"):
        render("training_report.html.j2", **{key: value for key, value in PAGE.items() if key != "remarks"})


def test_importing_the_module_imports_no_template_engine() -> None:
    program = "import sys, soundgan, soundgan.viz.html; assert not {'jinja2', 'matplotlib', 'torch'} & set(sys.modules)"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
