"""The site: built without a warning, its links followed, its pages opened without a network."""

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for name in ("sphinx", "myst_parser", "numpydoc", "furo", "mathjax", "marimo"):
        pytest.importorskip(name, reason="the site needs more: pip install 'mgcore[docs]'")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", folder],
        cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    return folder


class Page(HTMLParser):
    """What a page refers to, and what in it may be referred to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.places.add(attrs.get("id"))
        link = attrs.get("href" if tag in ("a", "link") else "src")
        if link is not None:
            self.links.append(link)


def test_links_lead_to_what_is_there(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 50
    dead = []
    for path, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme or link == "#":  # of other places; a theme's link to the top
                continue
            name, place = urldefrag(urlsplit(link)._replace(query="").geturl())
            target = (path.parent / unquote(name)).resolve() if name else path
            known = target.is_file() and (target not in pages or place in pages[target].places)
            if not known:
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


def test_every_front_door_is_in_the_reference(site):
    import mgcore
    import mgnet

    shown = (site / "reference" / "index.html").read_text()
    names = [
        f"{package.__name__}.{name}" for package in (mgcore, mgnet) for name in package.__all__
    ]
    assert [name for name in names if f">{name}<" not in shown and "__" not in name] == []


@pytest.fixture(scope="module")
def tab(site):
    """A page of a browser that reaches files of the site and nothing else, and its complaints."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install it")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = chromium.new_context(offline=True).new_page()
        tab.set_default_timeout(60_000)
        tab.complaints = []

        def asked(request):
            if not request.url.startswith(("data:", site.as_uri())):
                tab.complaints.append(f"asked for {request.url}")

        tab.on("request", asked)
        tab.on("requestfailed", lambda request: tab.complaints.append(f"failed {request.url}"))
        tab.on("console", lambda message: tab.complaints.append(message.text))
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        yield tab
        chromium.close()


def test_pages_need_no_network(site, tab):
    formulas = 0
    for path in sorted(site.rglob("*.html")):
        tab.goto(path.as_uri())
        count = tab.locator(".math.notranslate").count()
        if count:
            tab.wait_for_function(
                "n => document.querySelectorAll('.math.notranslate mjx-container').length >= n",
                arg=count,
            )
        assert tab.complaints == [], path.relative_to(site)
        assert tab.locator("mjx-merror").count() == 0, path.relative_to(site)
        formulas += count
    assert formulas > 20


#: Milliseconds from the key that was pressed last to a picture that is not `before`.
WAITED = """([image, before]) => image.src !== before && image.complete && image.naturalWidth > 0
    ? performance.now() - window.pressed : false"""


def test_sliders_move_their_pictures(site, tab):
    tab.add_init_script(
        "addEventListener('keydown', () => { window.pressed = performance.now() }, true)"
    )
    rows = ["| page | frames | median ms | longest ms |", "|---|---|---|---|"]
    for path in sorted((site / "live").glob("*.html")):
        tab.goto(path.as_uri())
        waited = []
        for figure in tab.locator("figure.frames[data-frames]").all():
            slider, picture = figure.get_by_role("slider"), figure.locator("img")
            parts = figure.locator("output"), figure.locator(".number")
            slider.press("Home")
            seen = [[part.inner_text() for part in parts]]
            while slider.input_value() != slider.get_attribute("max"):
                before = [picture.element_handle(), picture.evaluate("image => image.src")]
                slider.press("ArrowRight")
                waited.append(tab.wait_for_function(WAITED, arg=before).json_value())
                seen.append([part.inner_text() for part in parts])
            assert all(first != last for first, last in zip(seen[0], seen[-1], strict=True)), figure
        if waited:
            middle = sorted(waited)[len(waited) // 2]
            rows.append(f"| {path.stem} | {len(waited)} | {middle:.0f} | {max(waited):.0f} |")
    assert len(rows) == 12
    assert tab.complaints == []
    table = "\n".join(rows)
    (ROOT / "results").mkdir(exist_ok=True)
    (ROOT / "results" / "site-latency.md").write_text(table + "\n")
    print(f"\n{table}")
