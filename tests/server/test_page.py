"""The page that people play, in a real browser, served by a real server."""

from __future__ import annotations

import io
import json
import random
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")
pytest.importorskip("playwright", reason="the tests of the page need playwright, of the extra `dev`")

from playwright.sync_api import Browser, Page, expect, sync_playwright
from served import served

from soundgan.model import SoundGAN
from soundgan.server.page import FOLDER

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-sandbox"]  # fmt: skip
COMMAND = ["-c", "from soundgan.cli.app import main; main()", "serve"]

expect.set_options(timeout=20_000)  # ms; other work may share the machine

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; Debian has it in the package `chromium`")

# What the page plays goes to an analyser as well, and every start is written down: delay since the key or the mouse
# went down (ms), and the buffer's loudest sample.
EARS = """
    window.heard = [];
    let down = 0;
    for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, (event) => (down = event.timeStamp), true);
    const { start } = AudioBufferSourceNode.prototype;
    AudioBufferSourceNode.prototype.start = function () {
      const { buffer } = this;
      const peak = Math.max(...buffer.getChannelData(0));
      heard.push({ delay: performance.now() - down, peak, rate: buffer.sampleRate });
      start.call(this);
    };
    const { connect } = AudioNode.prototype;
    AudioNode.prototype.connect = function (to, ...rest) {
      if (to instanceof AudioDestinationNode) {
        window.ear ??= new AnalyserNode(to.context, { fftSize: 32768 });
        connect.call(this, ear);
      }
      return connect.call(this, to, ...rest);
    };
    window.loudest = () => {
      const wave = new Float32Array(ear.fftSize);
      ear.getFloatTimeDomainData(wave);
      return Math.max(...wave);
    };
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(model_folder: Path, flat_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [*COMMAND, str(model_folder), str(flat_model_folder)]
    with served(command, tmp_path_factory.mktemp("server")) as (address, _):
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page with all its pads ready; whatever the browser complains of fails the test."""
    with open_audio(browser) as page:
        show(page, address)
        yield page


class open_audio:
    """A new page in a browser that knows nothing yet."""

    def __init__(self, browser: Browser, *, complaints: bool = False, **options: Any) -> None:
        self._context = browser.new_context(**options)
        self._complaints: list[str] | None = None if complaints else []

    def __enter__(self) -> Page:
        page = self._context.new_page()
        page.set_default_timeout(20_000)
        page.add_init_script(EARS)
        if self._complaints is not None:
            page.on("console", lambda message: self._complaints.append(message.text))  # type: ignore[union-attr]
            page.on("pageerror", lambda error: self._complaints.append(str(error)))  # type: ignore[union-attr]
        return page

    def __exit__(self, *_: object) -> None:
        self._context.close()
        assert not self._complaints


def show(page: Page, address: str) -> None:
    page.goto(address)
    ready(page)


def ready(page: Page) -> None:
    until(page, "document.querySelectorAll('.pad[aria-busy=false]').length === 8")


def until(page: Page, condition: str, seconds: float = 20) -> None:
    """Wait for a condition. It is asked from outside: the page's security policy lets no text be run within."""
    started = time.monotonic()
    while not page.evaluate(condition):
        assert time.monotonic() - started < seconds, condition
        page.wait_for_timeout(20)


def told(page: Page) -> list[tuple[str, int]]:
    """Label and seed of all pads."""
    pads = page.locator(".pad").all()
    return [(one.locator(".name").inner_text(), int(one.locator(".seed").inner_text().split()[1])) for one in pads]


def saved(page: Page, button: str) -> tuple[str, bytes]:
    """Name and content of what a click saves."""
    with page.expect_download() as waiting:
        page.locator(button).click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def press_new(page: Page) -> None:
    page.get_by_role("button", name="New sounds").click()
    expect(page.get_by_role("status")).to_contain_text(re.compile("new sound"))
    ready(page)


def test_every_pad_shows_its_sound(page: Page, model: SoundGAN) -> None:
    bands, frames = model.representation.shape
    sizes = page.eval_on_selector_all(".pad img", "all => all.map((one) => [one.naturalHeight, one.naturalWidth])")
    assert sizes == [[bands, frames]] * 8
    assert len({seed for _, seed in told(page)}) == 8
    assert {label for label, _ in told(page)} <= set(model.labels)


def test_a_click_is_heard_at_once(page: Page) -> None:
    page.locator(".play").nth(2).click()
    (start,) = page.evaluate("heard")
    assert start["peak"] > 0.001 and start["rate"] == 8000
    until(page, f"loudest() > {start['peak'] / 2}", 5)
    page.locator(".play").nth(2).press("Enter")
    for pad in (3, 4, 5, 6):
        page.locator(".play").nth(pad).click()
    starts = page.evaluate("heard")
    assert len(starts) == 6
    assert min(one["delay"] for one in starts) < 50, "other work may delay some"


def test_keys_play_lock_and_make(page: Page) -> None:
    page.keyboard.press("8")
    page.keyboard.press("1")
    starts = page.evaluate("heard")
    assert len(starts) == 2
    before = told(page)
    page.keyboard.press("Shift+Digit4")
    expect(page.get_by_role("status")).to_have_text("Pad 4 locked.")
    page.keyboard.press("n")
    expect(page.get_by_role("status")).to_have_text("7 new sounds.")
    after = told(page)
    assert [i for i in range(8) if before[i] == after[i]] == [3]
    page.locator("[name=label]").focus()
    page.keyboard.press("5")  # in a list of labels, a key means a label
    assert len(page.evaluate("heard")) == 2


def test_what_is_locked_stays(page: Page) -> None:
    before = told(page)
    for place in (0, 6):
        page.get_by_role("button", name=f"Lock pad {place + 1}").click()
    assert page.locator(".lock[aria-pressed=true]").count() == 2
    press_new(page)
    after = told(page)
    assert [i for i in range(8) if before[i] == after[i]] == [0, 6]
    page.keyboard.press("Shift+Digit1")
    press_new(page)
    assert [i for i in range(8) if before[i] == told(page)[i]] == [6]


def test_controls_keep_the_seeds(page: Page) -> None:
    before = told(page)
    page.keyboard.press("Shift+Digit2")
    label = next(one for one in ("kick", "noise", "tone") if one != before[1][0])
    page.get_by_label("Label").select_option(label)
    expect(page.get_by_role("status")).to_have_text("7 sounds made anew.")
    assert told(page) == [before[i] if i == 1 else (label, before[i][1]) for i in range(8)]
    images = page.eval_on_selector_all(".pad img", "all => all.map((one) => one.src)")
    page.locator("[name=truncation]").fill("0")
    until(page, "location.hash.includes('truncation=0&')")
    ready(page)
    changed = page.eval_on_selector_all(".pad img", "all => all.map((one) => one.src)")
    assert [i for i in range(8) if changed[i] == images[i]] == [1]
    page.get_by_label("Model").select_option("flat")
    until(page, "location.hash.includes('model=flat')")
    ready(page)
    assert told(page) == [before[i] if i == 1 else ("flat", before[i][1]) for i in range(8)]
    expect(page.get_by_label("Label")).to_be_disabled()


def test_keys_play_again_after_a_label_was_chosen_by_mouse(page: Page) -> None:
    page.locator("[name=label]").dispatch_event("pointerdown")
    page.get_by_label("Label").select_option("kick")
    expect(page.get_by_role("status")).to_have_text("8 sounds made anew.")
    page.keyboard.press("3")
    assert len(page.evaluate("heard")) == 1


def test_a_slider_on_its_way_makes_nothing(page: Page) -> None:
    entries = page.evaluate("history.length")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("[name=truncation]").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    until(page, "location.hash.includes('truncation=0.75&')")
    ready(page)
    assert page.evaluate("history.length") == entries + 1
    assert sum(url.endswith("/sounds") for url in asked) == 8


def test_where_all_is_locked_nothing_is_made(page: Page) -> None:
    before = told(page)
    for digit in range(1, 9):
        page.keyboard.press(f"Shift+Digit{digit}")
    page.keyboard.press("n")
    expect(page.get_by_role("status")).to_have_text("All pads are locked.")
    page.get_by_label("Label").select_option("kick")
    assert told(page) == before and page.locator(".lock[aria-pressed=true]").count() == 8


def test_what_is_heard_is_what_is_locked(browser: Browser, address: str) -> None:
    """Also while another sound is on its way, and when none came."""
    held: list[Any] = []
    holding = True

    def answer(route: Any) -> None:
        if holding:
            held.append(route)
        elif route.request.post_data_json["seed"] % 2:
            route.abort()
        else:
            route.continue_()

    with open_audio(browser, complaints=True) as page:
        show(page, address)
        before = told(page)
        page.route("**/sounds", answer)
        page.keyboard.press("n")
        until(page, "document.querySelectorAll('.pad[aria-busy=true]').length === 8")
        page.keyboard.press("Shift+Digit1")
        while not held:
            page.wait_for_timeout(20)
        holding = False
        for route in held:
            answer(route)
        ready(page)
        expect(page.get_by_role("status")).not_to_have_text("Pad 1 locked.")
        after = told(page)
        assert after[0] == before[0]
        seeds = [int(seed) for seed in re.findall(r"pad=(\d+)", page.url)]
        assert seeds == [seed for _, seed in after], "the address holds what is shown, not what did not come"
        assert page.url.count("locked") == 1


def test_what_is_saved_is_the_sound_of_its_seed(page: Page, model: SoundGAN) -> None:
    expected = {f"{label}_{seed}.wav": model.generate(label=label, seed=seed)[0].encode() for label, seed in told(page)}
    name, file = saved(page, ".pad:nth-child(5) .save")
    assert name == list(expected)[4] and file == expected[name]
    name, file = saved(page, "[name=save]")
    assert name == "sounds.zip"
    expect(page.get_by_role("status")).to_have_text("8 sounds saved as sounds.zip.")
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        assert {one: archive.read(one) for one in archive.namelist()} == expected


def test_two_sounds_of_one_name_are_both_saved(page: Page, address: str, model: SoundGAN) -> None:
    page.goto("about:blank")
    show(page, f"{address}/#pad=7,label=kick&pad=7,label=kick,truncation=0.5")
    _, file = saved(page, "[name=save]")
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.namelist()[:2] == ["kick_7.wav", "kick_7-2.wav"]
        assert archive.read("kick_7-2.wav") == model.generate(label="kick", seed=7, truncation=0.5)[0].encode()


def test_a_link_brings_the_same_sounds_back(page: Page, browser: Browser) -> None:
    page.keyboard.press("Shift+Digit3")
    page.get_by_label("Model").select_option("flat")
    until(page, "location.hash.includes('model=flat')")
    press_new(page)
    with open_audio(browser) as other:
        show(other, page.url)
        assert told(other) == told(page) and other.url == page.url
        assert saved(other, "[name=save]") == saved(page, "[name=save]")
        assert other.locator(".lock[aria-pressed=true]").count() == 1


def test_going_back_brings_the_last_sounds_back(page: Page) -> None:
    first = told(page)
    press_new(page)
    second = told(page)
    press_new(page)
    for sounds in (second, first):
        page.go_back()
        ready(page)
        assert told(page) == sounds
    page.go_forward()
    ready(page)
    assert told(page) == second


def test_addresses_are_read_as_they_were_written(page: Page) -> None:
    rng = random.Random(0)
    models = [{"name": "a,b&c=d", "labels": ["", "50 %", "ü/#?"]}, {"name": "flat", "labels": []}]

    def choice() -> dict[str, Any]:
        model = rng.choice(models)
        label = rng.choice([*filter(None, model["labels"]), None])
        return {"model": model["name"], "label": label, "truncation": rng.randrange(0, 41) / 20}

    states = [
        {
            **choice(),
            "pads": [{"seed": rng.randrange(2**32), "locked": rng.random() < 0.5, **choice()} for _ in range(8)],
        }
        for _ in range(200)
    ]
    code = """async ([states, models]) => {
        const { read, write } = await import("/page/address.js");
        return states.map((state) => read(write(state), models, states[0]));
    }"""
    assert page.evaluate(code, [states, models]) == [{"state": state, "unknown": []} for state in states]


@pytest.mark.parametrize("fragment", ["#", "#pad=&pad=,locked", "#%E0%A4%A&=&&,=,&pad=1,label=%"])
def test_a_broken_link_still_brings_a_page(page: Page, address: str, fragment: str) -> None:
    page.goto("about:blank")
    show(page, f"{address}/{fragment}")
    assert len(told(page)) == 8 and "model=tiny&label=&truncation=1&" in page.url


@pytest.mark.parametrize(
    "fragment, missing",
    [
        ("#truncation=x", "truncation x"), ("#truncation=3&pad=7", "truncation 3"),
        ("#pad=-1&pad=4294967296&pad=x", "seed -1, seed 4294967296, seed x"),
    ],
)  # fmt: skip
def test_a_link_with_numbers_that_cannot_be_says_so(page: Page, address: str, fragment: str, missing: str) -> None:
    page.goto("about:blank")
    show(page, f"{address}/{fragment}")
    expect(page.get_by_role("status")).to_have_text(f"Here is no {missing}: these are other sounds.")
    assert len(told(page)) == 8 and page.url.endswith(fragment)


def test_a_wrong_pad_does_not_move_those_after_it(page: Page, address: str) -> None:
    page.goto("about:blank")
    show(page, f"{address}/#pad=1&pad=x&pad=3,locked&pad=&pad=5{'&pad=6' * 4}&pad=y")
    found = [seed for _, seed in told(page)]
    assert [found[i] for i in (0, 2, 4, 5, 7)] == [1, 3, 5, 6, 6]
    expect(page.get_by_role("status")).to_have_text("Here is no seed x: these are other sounds.")
    expect(page.locator(".pad.locked")).to_have_count(1)


def test_a_link_to_what_is_not_here_says_so_and_stays(page: Page, address: str) -> None:
    page.goto("about:blank")
    link = f"{address}/#model=footsteps&label=gravel&pad=7&pad=8,model=tiny,label=bell"
    show(page, link)
    expect(page.get_by_role("status")).to_have_text(
        "Here is no model footsteps, label bell of tiny: these are other sounds."
    )
    assert page.url == link
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("status")).to_contain_text("Link copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url != link
    assert [int(seed) for seed in re.findall(r"pad=(\d+)", page.url)] == [seed for _, seed in told(page)]
    press_new(page)
    assert "model=tiny" in page.url


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_narrow_screen_shows_all(browser: Browser, address: str, width: int) -> None:
    with open_audio(browser, viewport={"width": width, "height": 700}, has_touch=True, is_mobile=True) as page:
        show(page, address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [one.bounding_box() for one in page.locator(".pad").all()]
        assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
        if width == 390:  # a usual phone shows them all at once
            assert all(box and box["y"] + box["height"] <= 844 for box in boxes)
        page.locator(".play").nth(7).tap()
        page.locator(".play").nth(0).tap()
        assert len(page.evaluate("heard")) == 2  # one for each, though a finger makes a press and a click


def test_all_is_named_for_those_who_hear_the_page(page: Page) -> None:
    (label, seed), *_ = told(page)
    expect(page.get_by_role("list", name="Pads").get_by_role("listitem")).to_have_count(8)
    expect(page.get_by_role("button", name=f"Play pad 1: {label}, seed {seed}")).to_be_visible()
    expect(page.get_by_role("link", name=f"Save {label}_{seed}.wav")).to_be_visible()
    expect(page.get_by_role("slider", name="Truncation")).to_have_value("1")
    unnamed = page.locator("main :is(button, a, select, input)").evaluate_all(
        "all => all.filter((one) => !(one.ariaLabel || one.textContent.trim() || one.labels?.length)).length"
    )
    assert unnamed == 0
    order = []
    for _ in range(9):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.name || document.activeElement.className"))
    assert order == ["model", "label", "truncation", "", "save", "link", "play", "lock", "save"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(scheme: str) -> None:
    """Contrast of at least 4.5 (WCAG 2.2, level AA)."""
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): #(\w+)", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    )
    colours = light if scheme == "light" else light | dark

    def luminance(name: str) -> float:
        digits = colours[name] if len(colours[name]) == 6 else "".join(2 * digit for digit in colours[name])
        levels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for text, ground in [("ink", "ground"), ("ink", "card"), ("faint", "ground"), ("faint", "card"),
                         ("on-accent", "accent"), ("accent", "card")]:  # fmt: skip
        low, high = sorted((luminance(text), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, text, ground)


def test_the_page_asks_nobody_else(browser: Browser, address: str) -> None:
    with open_audio(browser) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        show(page, address)
        press_new(page)
    assert len(asked) > 20
    assert all(url.startswith((address, "data:", "blob:")) for url in asked)


def test_a_token_is_asked_for_once(browser: Browser, model_folder: Path, tmp_path: Path) -> None:
    command = [*COMMAND, str(model_folder), "--token", "secret"]
    with served(command, tmp_path) as (address, _), open_audio(browser, complaints=True) as page:
        page.goto(address)
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("status")).to_contain_text("asks for a token")
        page.get_by_role("button", name="New sounds").click()
        page.get_by_role("textbox", name="Token").fill("“quoted”")
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_role("dialog")).to_be_visible()  # such a token can be no server's
        for token in ("wrong", "secret"):
            page.get_by_role("textbox", name="Token").fill(token)
            page.get_by_role("button", name="Enter").click()
            if token == "wrong":
                expect(page.get_by_role("dialog")).to_contain_text("not the token")
        ready(page)
        page.reload()
        ready(page)
        assert len(told(page)) == 8


def test_a_server_that_went_away_is_told(browser: Browser, model_folder: Path, tmp_path: Path) -> None:
    with open_audio(browser, complaints=True) as page:
        with served([*COMMAND, str(model_folder)], tmp_path) as (address, process):
            show(page, address)
            before = told(page)
            process.kill()
            process.wait()
            page.get_by_role("button", name="New sounds").click()
            expect(page.get_by_role("status")).to_contain_text("cannot be reached")
        assert told(page) == before
        page.keyboard.press("1")  # what is there still plays
        assert len(page.evaluate("heard")) == 1


def test_a_busy_server_is_asked_again(browser: Browser, address: str) -> None:
    with open_audio(browser, complaints=True) as page:
        answers = iter([503, 429])

        def refuse(route: Any) -> None:
            status = next(answers, None)
            if status is None:
                route.continue_()
            else:
                told = json.dumps({"title": "Busy", "status": status, "detail": "busy"})
                route.fulfill(status=status, headers={"Retry-After": "1"}, body=told)

        page.route("**/sounds", refuse)
        show(page, address)
        assert len(told(page)) == 8


def test_a_page_that_found_no_server_tries_again(browser: Browser, address: str) -> None:
    with open_audio(browser, complaints=True) as page:
        page.route("**/v1/models", lambda route: route.abort())
        page.goto(address)
        expect(page.get_by_role("status")).to_contain_text("cannot be reached")
        page.keyboard.press("1")
        page.unroute("**/v1/models")
        page.get_by_role("button", name="New sounds").click()
        ready(page)
        assert len(told(page)) == 8
