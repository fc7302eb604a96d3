"""Web page in a real browser, served by a real server."""

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
pytest.importorskip("playwright", reason="the page tests need playwright, of the extra `dev`")

from playwright.sync_api import Browser, Page, expect, sync_playwright
from served import served

from soundgan.model import SoundGAN
from soundgan.server.page import FOLDER

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMIUM_FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-sandbox"]  # fmt: skip
COMMAND = ["-c", "from soundgan.cli.app import main; main()", "serve"]

expect.set_options(timeout=20_000)  # ms; other work may share the machine

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: package `chromium`)")

# Records every start of a sound: the delay since the key or mouse button was pressed (ms), and the buffer's peak. An
# analyser taps what the page plays.
RECORDER = """
    window.started = [];
    let down = 0;
    for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, (event) => (down = event.timeStamp), true);
    const { start } = AudioBufferSourceNode.prototype;
    AudioBufferSourceNode.prototype.start = function () {
      const { buffer } = this;
      const peak = Math.max(...buffer.getChannelData(0));
      started.push({ delay: performance.now() - down, peak, rate: buffer.sampleRate });
      start.call(this);
    };
    const { connect } = AudioNode.prototype;
    AudioNode.prototype.connect = function (to, ...rest) {
      if (to instanceof AudioDestinationNode) {
        window.tap ??= new AnalyserNode(to.context, { fftSize: 32768 });
        connect.call(this, tap);
      }
      return connect.call(this, to, ...rest);
    };
    window.currentPeak = () => {
      const wave = new Float32Array(tap.fftSize);
      tap.getFloatTimeDomainData(wave);
      return Math.max(...wave);
    };
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(model_folder: Path, flat_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [*COMMAND, str(model_folder), str(flat_model_folder)]
    with served(command, tmp_path_factory.mktemp("server")) as (address, _):
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page with all pads loaded; messages in the browser's console fail the test."""
    with new_page(browser) as page:
        open_page(page, address)
        yield page


class new_page:
    """Page in a new browser context, without cookies or storage."""

    def __init__(self, browser: Browser, *, allow_errors: bool = False, **options: Any) -> None:
        self._context = browser.new_context(**options)
        self._messages: list[str] | None = None if allow_errors else []

    def __enter__(self) -> Page:
        page = self._context.new_page()
        page.set_default_timeout(20_000)
        page.add_init_script(RECORDER)
        if self._messages is not None:
            page.on("console", lambda message: self._messages.append(message.text))  # type: ignore[union-attr]
            page.on("pageerror", lambda error: self._messages.append(str(error)))  # type: ignore[union-attr]
        return page

    def __exit__(self, *_: object) -> None:
        self._context.close()
        assert not self._messages


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    wait_ready(page)


def wait_ready(page: Page) -> None:
    wait_for(page, "document.querySelectorAll('.pad[aria-busy=false]').length === 8")


def wait_for(page: Page, condition: str, seconds: float = 20) -> None:
    """Wait for a condition, evaluated from outside: the page's security policy forbids evaluation of text inside."""
    start = time.monotonic()
    while not page.evaluate(condition):
        assert time.monotonic() - start < seconds, condition
        page.wait_for_timeout(20)


def pad_sounds(page: Page) -> list[tuple[str, int]]:
    """Label and seed of all pads."""
    pads = page.locator(".pad").all()
    return [(pad.locator(".name").inner_text(), int(pad.locator(".seed").inner_text().split()[1])) for pad in pads]


def download(page: Page, button: str) -> tuple[str, bytes]:
    """Name and content of the file that a button saves."""
    with page.expect_download() as pending:
        page.locator(button).click()
    return pending.value.suggested_filename, Path(pending.value.path()).read_bytes()


def press_new(page: Page) -> None:
    page.get_by_role("button", name="New sounds").click()
    expect(page.get_by_role("status")).to_contain_text(re.compile("new sound"))
    wait_ready(page)


def test_every_pad_shows_a_spectrogram_label_and_seed(page: Page, model: SoundGAN) -> None:
    bands, frames = model.representation.shape
    sizes = page.eval_on_selector_all(
        ".pad img", "images => images.map((image) => [image.naturalHeight, image.naturalWidth])"
    )
    assert sizes == [[bands, frames]] * 8
    assert len({seed for _, seed in pad_sounds(page)}) == 8
    assert {label for label, _ in pad_sounds(page)} <= set(model.labels)


def test_click_plays_without_delay(page: Page) -> None:
    page.locator(".play").nth(2).click()
    (start,) = page.evaluate("started")
    assert start["peak"] > 0.001 and start["rate"] == 8000
    wait_for(page, f"currentPeak() > {start['peak'] / 2}", 5)
    page.locator(".play").nth(2).press("Enter")
    for pad in (3, 4, 5, 6):
        page.locator(".play").nth(pad).click()
    starts = page.evaluate("started")
    assert len(starts) == 6
    assert min(start["delay"] for start in starts) < 50, "a busy machine may delay some"


def test_keys_play_lock_and_generate(page: Page) -> None:
    page.keyboard.press("8")
    page.keyboard.press("1")
    starts = page.evaluate("started")
    assert len(starts) == 2
    before = pad_sounds(page)
    page.keyboard.press("Shift+Digit4")
    expect(page.get_by_role("status")).to_have_text("Pad 4 locked.")
    page.keyboard.press("n")
    expect(page.get_by_role("status")).to_have_text("7 new sounds.")
    after = pad_sounds(page)
    assert [i for i in range(8) if before[i] == after[i]] == [3]
    page.locator("[name=label]").focus()
    page.keyboard.press("5")  # in a list of labels, a key chooses a label
    assert len(page.evaluate("started")) == 2


def test_locked_pads_keep_their_sounds(page: Page) -> None:
    before = pad_sounds(page)
    for index in (0, 6):
        page.get_by_role("button", name=f"Lock pad {index + 1}").click()
    assert page.locator(".lock[aria-pressed=true]").count() == 2
    press_new(page)
    after = pad_sounds(page)
    assert [i for i in range(8) if before[i] == after[i]] == [0, 6]
    page.keyboard.press("Shift+Digit1")
    press_new(page)
    assert [i for i in range(8) if before[i] == pad_sounds(page)[i]] == [6]


def test_controls_change_sounds_and_keep_seeds(page: Page) -> None:
    before = pad_sounds(page)
    page.keyboard.press("Shift+Digit2")
    label = next(label for label in ("kick", "noise", "tone") if label != before[1][0])
    page.get_by_label("Label").select_option(label)
    expect(page.get_by_role("status")).to_have_text("7 sounds updated.")
    assert pad_sounds(page) == [before[i] if i == 1 else (label, before[i][1]) for i in range(8)]
    images = page.eval_on_selector_all(".pad img", "images => images.map((image) => image.src)")
    page.locator("[name=truncation]").fill("0")
    wait_for(page, "location.hash.includes('truncation=0&')")
    wait_ready(page)
    changed = page.eval_on_selector_all(".pad img", "images => images.map((image) => image.src)")
    assert [i for i in range(8) if changed[i] == images[i]] == [1]
    page.get_by_label("Model").select_option("flat")
    wait_for(page, "location.hash.includes('model=flat')")
    wait_ready(page)
    assert pad_sounds(page) == [before[i] if i == 1 else ("flat", before[i][1]) for i in range(8)]
    expect(page.get_by_label("Label")).to_be_disabled()


def test_keys_play_after_choosing_a_label_by_mouse(page: Page) -> None:
    page.locator("[name=label]").dispatch_event("pointerdown")
    page.get_by_label("Label").select_option("kick")
    expect(page.get_by_role("status")).to_have_text("8 sounds updated.")
    page.keyboard.press("3")
    assert len(page.evaluate("started")) == 1


def test_moving_slider_generates_once_it_stops(page: Page) -> None:
    entries = page.evaluate("history.length")
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.locator("[name=truncation]").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    wait_for(page, "location.hash.includes('truncation=0.75&')")
    wait_ready(page)
    assert page.evaluate("history.length") == entries + 1
    assert sum(url.endswith("/sounds") for url in urls) == 8


def test_nothing_is_generated_when_all_pads_are_locked(page: Page) -> None:
    before = pad_sounds(page)
    for digit in range(1, 9):
        page.keyboard.press(f"Shift+Digit{digit}")
    page.keyboard.press("n")
    expect(page.get_by_role("status")).to_have_text("All pads are locked.")
    page.get_by_label("Label").select_option("kick")
    assert pad_sounds(page) == before and page.locator(".lock[aria-pressed=true]").count() == 8


def test_lock_keeps_the_audible_sound_while_another_one_loads(browser: Browser, address: str) -> None:
    """Also when loading fails."""
    held: list[Any] = []
    holding = True

    def answer(route: Any) -> None:
        if holding:
            held.append(route)
        elif route.request.post_data_json["seed"] % 2:
            route.abort()
        else:
            route.continue_()

    with new_page(browser, allow_errors=True) as page:
        open_page(page, address)
        before = pad_sounds(page)
        page.route("**/sounds", answer)
        page.keyboard.press("n")
        wait_for(page, "document.querySelectorAll('.pad[aria-busy=true]').length === 8")
        page.keyboard.press("Shift+Digit1")
        while not held:
            page.wait_for_timeout(20)
        holding = False
        for route in held:
            answer(route)
        wait_ready(page)
        expect(page.get_by_role("status")).not_to_have_text("Pad 1 locked.")
        after = pad_sounds(page)
        assert after[0] == before[0]
        seeds = [int(seed) for seed in re.findall(r"pad=(\d+)", page.url)]
        assert seeds == [seed for _, seed in after], "the address has the visible sounds, not those that failed"
        assert page.url.count("locked") == 1


def test_saved_files_are_the_sounds_of_their_seeds(page: Page, model: SoundGAN) -> None:
    expected = {
        f"{label}_{seed}.wav": model.generate(label=label, seed=seed)[0].encode() for label, seed in pad_sounds(page)
    }
    name, file = download(page, ".pad:nth-child(5) .save")
    assert name == list(expected)[4] and file == expected[name]
    name, file = download(page, "[name=save]")
    assert name == "sounds.zip"
    expect(page.get_by_role("status")).to_have_text("8 sounds saved as sounds.zip.")
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == expected


def test_sounds_of_the_same_name_are_saved_with_numbers(page: Page, address: str, model: SoundGAN) -> None:
    page.goto("about:blank")
    open_page(page, f"{address}/#pad=7,label=kick&pad=7,label=kick,truncation=0.5")
    _, file = download(page, "[name=save]")
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        assert archive.namelist()[:2] == ["kick_7.wav", "kick_7-2.wav"]
        assert archive.read("kick_7-2.wav") == model.generate(label="kick", seed=7, truncation=0.5)[0].encode()


def test_link_opens_the_same_sounds(page: Page, browser: Browser) -> None:
    page.keyboard.press("Shift+Digit3")
    page.get_by_label("Model").select_option("flat")
    wait_for(page, "location.hash.includes('model=flat')")
    press_new(page)
    with new_page(browser) as other:
        open_page(other, page.url)
        assert pad_sounds(other) == pad_sounds(page) and other.url == page.url
        assert download(other, "[name=save]") == download(page, "[name=save]")
        assert other.locator(".lock[aria-pressed=true]").count() == 1


def test_back_and_forward_return_to_earlier_sounds(page: Page) -> None:
    first = pad_sounds(page)
    press_new(page)
    second = pad_sounds(page)
    press_new(page)
    for sounds in (second, first):
        page.go_back()
        wait_ready(page)
        assert pad_sounds(page) == sounds
    page.go_forward()
    wait_ready(page)
    assert pad_sounds(page) == second


def test_address_round_trip_keeps_the_state(page: Page) -> None:
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
def test_broken_link_loads_random_sounds(page: Page, address: str, fragment: str) -> None:
    page.goto("about:blank")
    open_page(page, f"{address}/{fragment}")
    assert len(pad_sounds(page)) == 8 and "model=tiny&label=&truncation=1&" in page.url


@pytest.mark.parametrize(
    "fragment, unknown",
    [
        ("#truncation=x", "truncation x"), ("#truncation=3&pad=7", "truncation 3"),
        ("#pad=-1&pad=4294967296&pad=x", "seed -1, seed 4294967296, seed x"),
    ],
)  # fmt: skip
def test_link_with_invalid_numbers_reports_them(page: Page, address: str, fragment: str, unknown: str) -> None:
    page.goto("about:blank")
    open_page(page, f"{address}/{fragment}")
    expect(page.get_by_role("status")).to_have_text(f"Not on this server: {unknown}. Other sounds are loaded.")
    assert len(pad_sounds(page)) == 8 and page.url.endswith(fragment)


def test_invalid_pad_in_a_link_does_not_shift_the_others(page: Page, address: str) -> None:
    page.goto("about:blank")
    open_page(page, f"{address}/#pad=1&pad=x&pad=3,locked&pad=&pad=5{'&pad=6' * 4}&pad=y")
    actual = [seed for _, seed in pad_sounds(page)]
    assert [actual[i] for i in (0, 2, 4, 5, 7)] == [1, 3, 5, 6, 6]
    expect(page.get_by_role("status")).to_have_text("Not on this server: seed x. Other sounds are loaded.")
    expect(page.locator(".pad.locked")).to_have_count(1)


def test_link_to_unknown_models_is_reported_and_kept(page: Page, address: str) -> None:
    page.goto("about:blank")
    link = f"{address}/#model=footsteps&label=gravel&pad=7&pad=8,model=tiny,label=bell"
    open_page(page, link)
    expect(page.get_by_role("status")).to_have_text(
        "Not on this server: model footsteps, label bell of tiny. Other sounds are loaded."
    )
    assert page.url == link
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("status")).to_contain_text("Link copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.url != link
    assert [int(seed) for seed in re.findall(r"pad=(\d+)", page.url)] == [seed for _, seed in pad_sounds(page)]
    press_new(page)
    assert "model=tiny" in page.url


@pytest.mark.parametrize("width", [320, 390, 768])
def test_narrow_screen_fits_all_pads(browser: Browser, address: str, width: int) -> None:
    with new_page(browser, viewport={"width": width, "height": 700}, has_touch=True, is_mobile=True) as page:
        open_page(page, address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [pad.bounding_box() for pad in page.locator(".pad").all()]
        assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
        if width == 390:  # common phones show all pads at once
            assert all(box and box["y"] + box["height"] <= 844 for box in boxes)
        page.locator(".play").nth(7).tap()
        page.locator(".play").nth(0).tap()
        assert len(page.evaluate("started")) == 2  # one for each tap, which is a press and a click


def test_all_controls_have_accessible_names(page: Page) -> None:
    (label, seed), *_ = pad_sounds(page)
    expect(page.get_by_role("list", name="Pads").get_by_role("listitem")).to_have_count(8)
    expect(page.get_by_role("button", name=f"Play pad 1: {label}, seed {seed}")).to_be_visible()
    expect(page.get_by_role("link", name=f"Save {label}_{seed}.wav")).to_be_visible()
    expect(page.get_by_role("slider", name="Truncation")).to_have_value("1")
    unnamed = page.locator("main :is(button, a, select, input)").evaluate_all(
        "controls => controls.filter((control) =>"
        " !(control.ariaLabel || control.textContent.trim() || control.labels?.length)).length"
    )
    assert unnamed == 0
    order = []
    for _ in range(9):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.name || document.activeElement.className"))
    assert order == ["model", "label", "truncation", "", "save", "link", "play", "lock", "save"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrast_meets_wcag_aa(scheme: str) -> None:
    """Contrast ratio of at least 4.5 (WCAG 2.2, level AA)."""
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): #(\w+)", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    )
    colors = light if scheme == "light" else light | dark

    def luminance(name: str) -> float:
        digits = colors[name] if len(colors[name]) == 6 else "".join(2 * digit for digit in colors[name])
        levels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for text, ground in [("ink", "ground"), ("ink", "card"), ("faint", "ground"), ("faint", "card"),
                         ("on-accent", "accent"), ("accent", "card")]:  # fmt: skip
        low, high = sorted((luminance(text), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, text, ground)


def test_page_sends_requests_to_its_server_only(browser: Browser, address: str) -> None:
    with new_page(browser) as page:
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        open_page(page, address)
        press_new(page)
    assert len(urls) > 20
    assert all(url.startswith((address, "data:", "blob:")) for url in urls)


def test_token_is_prompted_for_once(browser: Browser, model_folder: Path, tmp_path: Path) -> None:
    command = [*COMMAND, str(model_folder), "--token", "secret"]
    with served(command, tmp_path) as (address, _), new_page(browser, allow_errors=True) as page:
        page.goto(address)
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("status")).to_contain_text("requires a token")
        page.get_by_role("button", name="New sounds").click()
        page.get_by_role("textbox", name="Token").fill("“quoted”")
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_role("dialog")).to_be_visible()  # no server can have such a token
        for token in ("wrong", "secret"):
            page.get_by_role("textbox", name="Token").fill(token)
            page.get_by_role("button", name="Enter").click()
            if token == "wrong":
                expect(page.get_by_role("dialog")).to_contain_text("not the token")
        wait_ready(page)
        page.reload()
        wait_ready(page)
        assert len(pad_sounds(page)) == 8


def test_unreachable_server_is_reported_and_loaded_sounds_play(
    browser: Browser, model_folder: Path, tmp_path: Path
) -> None:
    with new_page(browser, allow_errors=True) as page:
        with served([*COMMAND, str(model_folder)], tmp_path) as (address, process):
            open_page(page, address)
            before = pad_sounds(page)
            process.kill()
            process.wait()
            page.get_by_role("button", name="New sounds").click()
            expect(page.get_by_role("status")).to_contain_text("cannot be reached")
        assert pad_sounds(page) == before
        page.keyboard.press("1")  # loaded sounds still play
        assert len(page.evaluate("started")) == 1


def test_requests_to_a_busy_server_are_repeated(browser: Browser, address: str) -> None:
    with new_page(browser, allow_errors=True) as page:
        statuses = iter([503, 429])

        def refuse(route: Any) -> None:
            status = next(statuses, None)
            if status is None:
                route.continue_()
            else:
                problem = json.dumps({"title": "Busy", "status": status, "detail": "busy"})
                route.fulfill(status=status, headers={"Retry-After": "1"}, body=problem)

        page.route("**/sounds", refuse)
        open_page(page, address)
        assert len(pad_sounds(page)) == 8


def test_page_without_server_connects_on_the_next_try(browser: Browser, address: str) -> None:
    with new_page(browser, allow_errors=True) as page:
        page.route("**/v1/models", lambda route: route.abort())
        page.goto(address)
        expect(page.get_by_role("status")).to_contain_text("cannot be reached")
        page.keyboard.press("1")
        page.unroute("**/v1/models")
        page.get_by_role("button", name="New sounds").click()
        wait_ready(page)
        assert len(pad_sounds(page)) == 8
