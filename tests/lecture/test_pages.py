"""The lecture's live pages: well formed, run with controls at both ends, and used in a browser."""

import ast
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

marimo = pytest.importorskip(
    "marimo", reason="the pages need marimo: pip install 'mgcore[lecture]'"
)

mpl.use("Agg")
pytestmark = pytest.mark.usefixtures("own_settings_of_figures")
ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "lecture").glob("[0-9][0-9]_*.py"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
NAMES = [page.stem for page in PAGES]


# --- as files -------------------------------------------------------------------------------------


def test_pages_are_well_formed():
    command = [sys.executable, "-m", "marimo", "check", "--strict", *map(str, PAGES)]
    found = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_lines_that_a_page_quotes_are_in_the_file_that_it_names(page):
    """A block that begins with a file's name shows lines of that file, in their order."""
    text = page.read_text()
    for block in re.findall(r"```python\n(.*?)\n *```", text, re.DOTALL):
        first, *lines = block.splitlines()
        named = re.match(r" *# (\S+\.py)$", first)
        if named is None:
            continue
        source = iter([line.strip() for line in (ROOT / named[1]).read_text().splitlines()])
        assert lines
        for line in filter(None, map(str.strip, lines)):
            assert line in source, f"{named[1]} has no line {line} behind those quoted before it"


def test_the_list_of_pages_has_their_titles_and_what_they_say_of_themselves():
    expected = []
    for page in PAGES:
        source = page.read_text()
        about = ast.get_docstring(ast.parse(source)).partition(": ")[2]
        title = re.search('app_title="(.*?)"', source)[1]
        expected.append(f"- [{title}](lecture/{page.name}): {about}")
    listed = (ROOT / "docs" / "lecture.md").read_text().splitlines()
    assert [line for line in listed if line.startswith("- ")] == expected


# --- as scripts -----------------------------------------------------------------------------------


def run(page):
    """Run a page from the top, and return what its cells show."""
    spec = importlib.util.spec_from_file_location(f"page_{page.stem}", page)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    outputs, _ = module.app.run()
    return [getattr(output, "text", "") for output in outputs]


def controls_at(monkeypatch, end):
    """Have sliders, dropdowns and switches begin at their first value (end 0) or last (-1)."""
    made = []
    slider, switch = marimo.ui.slider, marimo.ui.switch

    def ended_slider(*args, **options):
        free = slider(*args, **options)
        value = free.steps[end] if free.steps else (free.start, free.stop)[end]
        made.append(free)
        return slider(*args[:3], **{**options, "value": value})

    def ended(kind):
        def choose(options, **others):
            return kind(options, **{**others, "value": list(options)[end]})

        return choose

    monkeypatch.setattr(marimo.ui, "slider", ended_slider)
    monkeypatch.setattr(
        marimo.ui, "switch", lambda **options: switch(**{**options, "value": end == -1})
    )
    for name in ("dropdown", "radio"):
        monkeypatch.setattr(marimo.ui, name, ended(getattr(marimo.ui, name)))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("end", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_page_runs_with_its_controls_at_both_ends(page, end, monkeypatch):
    sliders = controls_at(monkeypatch, end)
    shown = run(page)
    assert 1 <= len(sliders) <= 3
    assert sum(text.count("<marimo-stat") for text in shown) == 1  # one number
    assert not re.search(r"data-value='[^']*(nan|inf)\b", "".join(shown))


# --- in a browser ---------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
#: Key presses of each slider, and at most: a cycle moves its number only as it ends. How long a
#: page may take to open, in seconds.
PRESSES, MOST, OPENING = int(os.environ.get("PRESSES", "3")), 12, 120
#: What a page answers: its number with what is said about it, and its pictures.
ANSWER = """() => {
    const stat = document.querySelector("marimo-stat");
    const images = [...document.querySelectorAll(".output img, .output-area img")];
    if (!stat || !images.length || !images.every(image => image.complete)) return null;
    const said = ["value", "label", "caption"].map(name => stat.getAttribute("data-" + name));
    return JSON.stringify([said, images.map(image => image.src)]);
}"""
NUMBER = """() => document.querySelector("marimo-stat").getAttribute("data-value")"""
#: Milliseconds from the key that was pressed last to an answer that is not `before`, and all there:
#: nothing of it changes for a while. A number may be shown before its picture is.
WAITED = f"""before => {{
    const answer = ({ANSWER})(), now = performance.now();
    if (answer !== window.seen) [window.seen, window.since] = [answer, now];
    const rests = answer !== null && answer !== before && now - window.since > 200;
    return rests ? window.since - window.pressed : false;
}}"""


@pytest.fixture(scope="module")
def latencies():
    """Page to milliseconds of each answer; a table of them is printed and written at the end."""
    found = {}
    yield found
    rows = ["| page | answers | median ms | longest ms |", "|---|---|---|---|"]
    for name, waited in found.items():
        middle = sorted(waited)[len(waited) // 2]
        rows.append(f"| {name} | {len(waited)} | {middle:.0f} | {max(waited):.0f} |")
    table = "\n".join(rows)
    results = ROOT / "results"
    results.mkdir(exist_ok=True)
    (results / "lecture-latency.md").write_text(table + "\n")
    print(f"\n{table}")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install it")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def served(request):
    """The address at which marimo serves what `request.param` names."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "run", str(request.param), "--headless", "--port"]
    server = subprocess.Popen(
        [*command, str(port)], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(10 * OPENING):
            try:
                urlopen(address, timeout=5).close()
                break
            except (URLError, ConnectionError, TimeoutError):
                assert server.poll() is None, "marimo ended"
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def tab(browser):
    """A page of the browser from which nothing but this machine can be reached, and its log."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    tab = context.new_page()
    tab.complaints = []

    def gate(route):
        if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost"):
            route.continue_()
        else:
            tab.complaints.append(f"asked for {route.request.url}")
            route.abort()

    def heard(message):
        # marimo preloads two pictures of its editor which a page does not show, and has no file
        # name for a list of pages.
        expected = ("was preloaded", "No filename provided")
        known = any(text in message.text for text in expected)
        if message.type in ("error", "warning") and not known:
            tab.complaints.append(message.text)

    context.route(lambda url: not url.startswith(("data:", "blob:")), gate)
    tab.on("console", heard)
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    yield tab
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("served", "name"), list(zip(PAGES, NAMES, strict=True)), ids=NAMES, indirect=["served"]
)
def test_every_slider_of_a_page_moves_its_number(served, name, tab, latencies, record_property):
    tab.goto(served)
    tab.wait_for_function(ANSWER, timeout=1000 * OPENING)
    tab.evaluate(
        "() => addEventListener('keydown', () => { window.pressed = performance.now() }, true)"
    )
    tab.wait_for_timeout(500)  # in milliseconds: the page may still be at work on its first answer
    sliders = tab.get_by_role("slider")
    count = sliders.count()
    assert 1 <= count <= 3
    waited = []
    for number in range(count):
        slider = sliders.nth(number)
        said = {tab.evaluate(NUMBER)}
        for press in range(MOST):
            if press >= PRESSES and len(said) > 1:
                break
            before = tab.evaluate(ANSWER)
            at_end = slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax")
            slider.press("ArrowLeft" if at_end else "ArrowRight")
            waited.append(tab.wait_for_function(WAITED, arg=before, timeout=30_000).json_value())
            said.add(tab.evaluate(NUMBER))
        assert len(said) > 1, f"slider {number} does not move the number"
    assert not tab.get_by_text("Traceback").count()
    assert not tab.complaints
    latencies[name] = waited
    record_property("milliseconds", waited)


@pytest.mark.slow
@pytest.mark.parametrize(
    "served", [page for page in PAGES if page.stem in ("04_iteration", "08_mgnet")],
    ids=["04_iteration", "08_mgnet"], indirect=True,
)  # fmt: skip
def test_a_key_held_down_is_followed_without_complaint(served, tab):
    """Answers come more slowly than a held key repeats: each may be passed over by the next."""
    tab.goto(served)
    tab.wait_for_function(ANSWER, timeout=1000 * OPENING)
    slider = tab.get_by_role("slider").first
    slider.focus()
    before = tab.evaluate(ANSWER)
    for _ in range(30):
        tab.keyboard.down("ArrowRight")
        tab.wait_for_timeout(30)
    tab.keyboard.up("ArrowRight")
    tab.wait_for_function(WAITED.replace("window.pressed", "0"), arg=before, timeout=30_000)
    assert slider.get_attribute("aria-valuenow") == slider.get_attribute("aria-valuemax")
    assert not tab.get_by_text("Traceback").count()
    assert not tab.complaints


def page_named(name):
    """The page, for the fixture `served`."""
    return pytest.mark.parametrize(
        "served", [ROOT / "docs" / "lecture" / f"{name}.py"], ids=[name], indirect=True
    )


@pytest.mark.slow
@page_named("05_cycles")
def test_a_cycle_walks_on_by_itself(served, tab):
    tab.goto(served)
    tab.wait_for_function(ANSWER, timeout=1000 * OPENING)
    after = """made => document.querySelector("marimo-stat").getAttribute("data-label")
        .includes(`after ${made} of`)"""
    tab.locator("marimo-refresh button").click()
    tab.wait_for_function(after, arg=2, timeout=30_000)
    tab.locator("marimo-refresh select").select_option("1s")
    for made in (3, 4):
        tab.wait_for_function(after, arg=made, timeout=30_000)
    assert not tab.complaints


@pytest.mark.slow
@page_named("08_mgnet")
def test_a_picture_of_ones_own_is_seen(served, tab, tmp_path):
    stripes = np.zeros((48, 64, 3), np.uint8)
    stripes[:, ::8] = (255, 128, 0)
    picture = tmp_path / "stripes.png"
    Image.fromarray(stripes).save(picture)
    tab.goto(served)
    tab.wait_for_function(ANSWER, timeout=1000 * OPENING)
    before = tab.evaluate(ANSWER)
    tab.locator("input[type=file]").set_input_files(picture)
    changed = f"before => {{ const now = ({ANSWER})(); return now !== null && now !== before }}"
    tab.wait_for_function(changed, arg=before, timeout=30_000)
    assert not tab.get_by_text("Traceback").count()
    assert not tab.complaints


@pytest.mark.slow
@pytest.mark.parametrize("served", [ROOT / "docs" / "lecture"], ids=["list"], indirect=True)
def test_the_list_of_pages_has_a_link_to_each(served, tab):
    tab.goto(served)
    tab.get_by_role("link").first.wait_for(timeout=1000 * OPENING)
    links = [link.get_attribute("href") for link in tab.get_by_role("link").all()]
    assert [name for name in NAMES if not any(name in str(link) for link in links)] == []
    assert not tab.complaints
