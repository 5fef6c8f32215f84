"""Panels of a figure, and the page that they stand in."""

import html as escapes
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import normalforms.report
from normalforms.report import html, save_figures, style

HOSTILE = "</script><b>$x$ & 漢字 \"q\" 'a'"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@style
def drawing():
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    t = np.linspace(1, 100, 1001)
    left.loglog(t, t**2, label="square")
    left.plot([1, 10], [5, 7], "ko", mfc="white", label=HOSTILE)
    left.axvline(10)
    left.set(xlabel="step", ylabel="size", title="first")
    right.scatter([0, 1, 2], [3, 4, 5], label="cloud")
    right.set(xlabel="step", ylabel=HOSTILE)
    return figure


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return save_figures(tmp_path_factory.mktemp("figures"), {"some": drawing()})["some"]


@pytest.fixture(scope="module")
def page(drawn):
    parts = [html.figure(drawn, f"Seen: {HOSTILE}"), html.table(("a", HOSTILE), [(1.0, HOSTILE)] * 3)]
    return html.page(HOSTILE, HOSTILE, [html.section(HOSTILE, *parts, html.copied(HOSTILE, HOSTILE))])


def test_each_axes_stands_alone_with_the_numbers_that_it_shows(drawn):
    left, right = drawn
    assert (left.x, left.y, left.title, right.x) == ("step", "size", "first", "step")
    square, marks = left.series  # the line across the axes is no data
    assert square.name == "square"
    assert len(square.values) == 240
    np.testing.assert_allclose(square.values[[0, -1]], [[1, 1], [100, 1e4]])
    np.testing.assert_allclose(square.values[:, 1], square.values[:, 0] ** 2, rtol=1e-12)
    np.testing.assert_array_equal(marks.values, [[1, 5], [10, 7]])
    np.testing.assert_array_equal(right.series[0].values, [[0, 3], [1, 4], [2, 5]])
    assert "square: from 1 to 1e+04, between 1 and 1e+04, the largest at 100" in left.says


def test_places_in_the_drawing_are_where_the_marks_are_drawn(drawn):
    # matplotlib draws a marker as <use x= y=>: the scatter's three places
    for panel, count in zip(drawn, (2, 3), strict=True):
        uses = re.findall(r'<use [^>]*href="#[^"]*" x="([\d.]+)" y="([\d.]+)"', panel.svg)
        places = {(round(float(x), 1), round(float(y), 1)) for x, y in uses}
        series = panel.series[-1]
        assert len(series.pixels) == count
        for x, y in series.pixels:
            assert any(abs(x - a) < 0.2 and abs(y - b) < 0.2 for a, b in places)
        left, top, width, height = panel.box
        assert np.all((series.pixels[:, 0] >= left) & (series.pixels[:, 0] <= left + width))
        assert np.all((series.pixels[:, 1] >= top) & (series.pixels[:, 1] <= top + height))


def test_a_panel_takes_the_ink_of_the_page_and_its_marks_are_its_own(page):
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids)) > 0
    wanted = set(re.findall(r"url\(#([^)]*)\)|href=\"#([^\"]*)\"", page))
    assert {a or b for a, b in wanted} <= set(ids)
    drawings = page.partition("<body>")[2]
    assert "#000000" not in drawings
    assert "#ffffff" not in drawings  # on dark paper a white face would read as a full one
    assert "fill: var(--paper)" in drawings
    assert "currentColor" in page
    assert page.count("<style") == 1  # none within a drawing, where it would be the whole page's


def test_every_text_is_escaped_and_nothing_is_asked_of_a_network(page):
    assert "<b>" not in page
    assert page.count("</script>") == page.count("<script")
    assert "漢字" in page
    named = re.findall(r"https?://[^\"'\s)]+", page)
    assert {url for url in named if not url.startswith("http://www.w3.org/")} == set()


def test_panels_buttons_and_drawings_have_names(page):
    for panel in re.findall(r'<div class="panel"[^>]*>', page):
        assert 'tabindex="0"' in panel
        assert re.search(r'role="group" aria-label="[^"]+"', panel)
    drawings = re.findall(r"<svg [^>]*>", page)
    assert len(drawings) == 2
    assert all(re.search(r'role="img" aria-label="[^"]{20,}"', one) for one in drawings)
    assert page.count("aria-live") == 2


def test_numbers_can_be_copied_as_a_table(page):
    text = escapes.unescape(re.search(r"<pre[^>]*>(.*?)</pre>", page, re.S)[1])
    assert text.startswith("curve,step,size\nsquare,1,1\n")
    assert "\ncloud,2,5" in text


def luminance(colour):
    colour = "".join(2 * c for c in colour[1:]) if len(colour) == 4 else colour[1:]
    parts = [int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_inks_stand_out_from_paper_in_light_and_dark(page):
    # WCAG 2.2: 7 for the best grade of text, 4.5 for marks here, 3 asked
    schemes = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{[^}]*\}", page)]
    for names in schemes[:2]:
        names = schemes[0] | names
        for ink, least in (("ink", 7), ("soft", 7), ("mark", 4.5)):
            low, high = sorted(luminance(names[name]) for name in (ink, "paper"))
            assert (high + 0.05) / (low + 0.05) >= least, (ink, names)


def test_the_script_is_small():
    assert (Path(normalforms.report.__file__).parent / "page.js").stat().st_size <= 30_000


_PROBE = """
<script>
const told = [];
window.addEventListener("error", (e) => told.push("error " + e.message));
window.addEventListener("load", () => {
  const panel = document.querySelector(".panel"), out = panel.querySelector("output");
  const press = (key) => panel.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  press("ArrowRight"); told.push(out.textContent);
  press("End"); told.push(out.textContent);
  told.push("crossed " + [...document.querySelectorAll(".cursor")].map((e) => e.getAttribute("visibility")));
  const view = () => +panel.querySelector("svg").getAttribute("viewBox").split(" ")[2];
  const whole = view(); press("+"); told.push("zoomed " + (view() < whole)); press("0"); told.push(view() === whole);
  const svg = panel.querySelector("svg"), at = svg.getBoundingClientRect();
  svg.dispatchEvent(new PointerEvent("pointermove", { clientX: at.x + at.width / 2, clientY: at.y + at.height / 2 }));
  told.push("buttons " + [...document.querySelectorAll("button")].every((b) => b.getAttribute("aria-label")));
  const root = document.documentElement;
  told.push("overflow " + (root.scrollWidth > root.clientWidth));
  document.body.innerHTML = "<pre id=told>" + told.join("\\n") + "</pre>";
});
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [400, 1280])
def test_in_a_browser_panels_answer_and_nothing_overflows(page, tmp_path, width):
    file = tmp_path / "page.html"
    file.write_text(page.replace("<body>", f"<body>{_PROBE}"), "utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
    command = [CHROMIUM, *options, f"--user-data-dir={tmp_path}/profile", f"--window-size={width},900", "--dump-dom"]
    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    told = escapes.unescape(re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.S)[1]).splitlines()
    assert told[0].startswith("square: step 1.")
    assert told[1] == "square: step 100, size 10000"
    assert told[2:] == ["crossed visible,visible", "zoomed true", "true", "buttons true", "overflow false"]


def test_the_numbers_within_a_page_are_json(page):
    blocks = re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)
    facts = [json.loads(block) for block in blocks]
    assert [f["x"] for f in facts] == ["step", "step"]
    assert facts[0]["series"][1]["name"] == re.sub(r"[${}]", "", HOSTILE)
