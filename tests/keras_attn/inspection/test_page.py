import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from keras_attn.inspection import page
from tests.keras_attn.inspection import browser

S, T, H = 5, 3, 2
TOKENS = ["[CLS]", "not", "</script><script>alert(1)</script>", "bad", "[PAD]"]
REAL = [True, True, True, True, False]
needs_chromium = pytest.mark.skipif(browser.BINARY is None, reason="needs Chromium: name it in $KERAS_ATTN_CHROMIUM")


def weights(*shape, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), size=shape[:-1]).astype("float32")


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_maps_are_in_the_page_to_four_figures():
    look, parts = weights(H, S, S), np.array([0.5, -1.25, 0.0, 2.0, 1e-9])
    found = data_of(page({"look": look, "parts": parts}, TOKENS))["maps"]
    assert [each["name"] for each in found] == ["look", "parts"]
    np.testing.assert_allclose(np.array(found[0]["heads"]).reshape(H, S, S), look, rtol=1e-3)
    np.testing.assert_allclose(found[1]["heads"][0], parts, rtol=1e-3)
    assert (found[0]["signed"], found[1]["signed"], found[1]["limit"], found[1]["rows"]) == (False, True, 2.0, 1)


def test_no_name_breaks_out_of_its_place():
    nasty = "</script><script>alert(1)</script><img src=x onerror='alert(\"2\")'>"
    text = page({nasty: weights(S, S)}, [nasty] * S, title=nasty, notes=[nasty], outputs=[nasty] * S)
    assert text.count("<script") == 2 and text.count("</script>") == 2
    assert "<img" not in text and "onerror='" not in text
    assert data_of(text)["maps"][0]["name"] == nasty


def test_a_page_asks_for_nothing_and_may_ask_for_nothing():
    text = page(weights(6), image=np.random.default_rng(0).normal(size=(4, 6, 3)))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy and "http" not in policy
    assert not re.search(r"https?:|<link|@import|url\(|fetch\(|XMLHttp", text)
    assert set(re.findall(r'src="([^"]{5})', text)) == {"data:"}
    # What is let through is this one script and this one style.
    assert re.findall(r"(\w+)-src '(sha256)-", policy) == [("script", "sha256"), ("style", "sha256")]


def test_padding_is_left_blank_whatever_stands_there(tmp_path):
    look = np.full((S, S), np.nan, dtype="float32")
    look[:4, :4] = weights(4, 4)
    (found,) = data_of(page(look, TOKENS, mask=REAL))["maps"]
    assert np.array(found["heads"]).reshape(S, S)[4].tolist() == [0.0] * S
    assert found["limit"] == pytest.approx(look[:4, :4].max(), rel=1e-3)


def test_positions_of_pictures_are_called_by_their_places():
    image = page(weights(6), image=np.ones((4, 6)))
    assert 'aria-label="row 1, column 2"' in image and data_of(image)["columns"] == 3
    series = page(weights(T), series=np.arange(12.0))
    assert 'aria-label="time 4 to 8"' in series
    assert re.search(r'<polyline class="line line0" points="0.5,95.00 .* 11.5,5.00"', series)
    gap = page(weights(T), series=[0.0, np.nan, 1.0, 0.0])
    assert '<polyline class="line line0" points="0.5,95.00 2.5,5.00 3.5,95.00"/>' in gap


def test_a_page_is_written_where_it_can_be(tmp_path):
    text = page(weights(S), TOKENS, path=tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == text


def test_the_files_of_a_page_are_installed():
    root = Path(__file__).parents[3]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["keras_attn"]
    found = {path.name for pattern in patterns for path in (root / "keras_attn").glob(pattern)}
    assert {"page.html.jinja", "page.css", "page.js"} <= found


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: page(weights(T, S)), r"of 5 positions, or of one, on 5. Received: '' of shape \(1, 3, 5\)"),
        (lambda: page(weights(S), ["a"]), "must be 5 `positions`"),
        (lambda: page(weights(S), mask=[True]), r"mask of shape \(1,\)"),
        (lambda: page(weights(6), image=np.ones((4, 6)), grid=(4, 6)), r"\(rows, columns\) of 6"),
        (lambda: page(weights(6), image=np.ones((4, 6)), series=np.ones(6)), "not both"),
        (lambda: page(np.ones(2**22 + 1)), "4194304 numbers at most"),
        (lambda: page(weights(S), path="a.png"), r".html, .htm. Received: 'a.png'"),
        (lambda: page(weights(S), path="no/such/a.html"), "no folder 'no/such'"),
    ],
)
def test_what_cannot_be_shown_is_said(make, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        make()


SHADES = """[...document.querySelectorAll("#inputs .place")].map((place) => {
    const parts = getComputedStyle(place).backgroundColor.match(/[\\d.]+/g).map(Number);
    return [parts[2] > parts[0] ? "blue" : "red", parts.length === 4 ? parts[3] : 1];
})"""
READING = "document.getElementById('reading').textContent"


@pytest.fixture(scope="module")
def chromium():
    with browser.Browser() as found:
        yield found


@pytest.fixture
def opened(chromium, tmp_path):
    """The browser with a page of weights of two heads, and of parts of both signs."""
    look = weights(H, S, S)
    look[:, :, 4] = 0.0
    maps = {"look": look, "parts": np.array([0.0, -1.0, 0.5, 0.25, 0.0])}
    page(maps, TOKENS, mask=REAL, title="A title", path=tmp_path / "a.html")
    chromium.prefer("light")
    chromium.open(tmp_path / "a.html")
    return chromium, look


def pick(chromium, box, name):
    chromium.run(
        f"{{ const box = document.getElementById({box!r}); "
        f"box.selectedIndex = [...box.options].findIndex((one) => one.text === {name!r}); "
        "box.dispatchEvent(new Event('change')); }"
    )


def check_shaded(chromium, expected, limit):
    colours, shares = zip(*chromium.run(SHADES))
    np.testing.assert_allclose(shares, np.abs(expected) / limit, atol=0.005)
    assert all(colour == ("red" if number < 0 else "blue") for colour, number in zip(colours, expected))


@needs_chromium
def test_moving_over_a_token_shades_what_it_looks_at(opened):
    chromium, look = opened
    check_shaded(chromium, np.zeros(S), 1.0)
    assert "Move over a position" in chromium.run(READING)
    for place in (1, 3):
        chromium.move(f"#inputs .place:nth-child({place + 1})")
        check_shaded(chromium, look.mean(axis=0)[place], look.max())
        assert chromium.run(READING).startswith(f"“{TOKENS[place]}” looks at: ")
    chromium.move("h1")
    check_shaded(chromium, np.zeros(S), 1.0)


@needs_chromium
def test_what_is_looked_at_most_is_said_first(opened):
    chromium, look = opened
    chromium.move("#inputs .place:nth-child(2)")
    row = look.mean(axis=0)[1]
    said = chromium.run(READING).split(": ", 1)[1]
    assert said.startswith(f"“{TOKENS[row.argmax()]}” {row.max():.3g}")
    assert "[PAD]" not in said


@needs_chromium
def test_padding_looks_at_nothing(opened):
    chromium, _ = opened
    chromium.move("#inputs .place:nth-child(5)")
    check_shaded(chromium, np.zeros(S), 1.0)


@needs_chromium
def test_heads_and_maps_can_be_chosen(opened):
    chromium, look = opened
    chromium.move("#inputs .place:nth-child(3)")
    pick(chromium, "head", "1")
    check_shaded(chromium, look[1, 2], look.max())
    pick(chromium, "map", "parts")
    # A map without positions that look is shown wherever the mouse is.
    check_shaded(chromium, [0.0, -1.0, 0.5, 0.25, 0.0], 1.0)
    assert chromium.run("getComputedStyle(document.getElementById('heads')).display") == "none"
    assert chromium.run("document.getElementById('low').textContent") == "-1"
    chromium.move("#inputs .place:nth-child(2)")
    assert chromium.run(READING) == "“not”: -1"


@needs_chromium
def test_keys_do_what_the_mouse_does(opened):
    chromium, look = opened
    chromium.move("h1")
    for _ in range(3):
        chromium.press("Tab")
    mean = look.mean(axis=0)
    check_shaded(chromium, mean[0], look.max())
    for key, place in (("ArrowRight", 1), ("End", 3), ("ArrowRight", 3), ("ArrowLeft", 2), ("Home", 0)):
        chromium.press(key)
        check_shaded(chromium, mean[place], look.max())
    chromium.press("Escape")
    check_shaded(chromium, np.zeros(S), 1.0)


@needs_chromium
def test_scripts_in_names_do_not_run_and_nothing_goes_wrong(opened):
    chromium, _ = opened
    assert chromium.run("document.title") == "A title"
    assert chromium.run("document.querySelectorAll('#inputs .place')[2].textContent") == TOKENS[2]
    assert chromium.heard("Runtime.exceptionThrown") == [] and chromium.heard("Log.entryAdded") == []
    assert len(chromium.heard("Network.requestWillBeSent")) == 1  # the file itself


@needs_chromium
def test_a_page_cannot_reach_a_network(opened):
    chromium, _ = opened
    blocked = """new Promise((done) => {
        document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective));
        fetch("http://127.0.0.1:9/").catch(() => {});
    })"""
    assert chromium.run(blocked) == "connect-src"


@needs_chromium
def test_the_dark_page_is_dark_and_its_words_can_be_read(opened):
    chromium, _ = opened
    body = "['backgroundColor', 'color'].map((which) => getComputedStyle(document.body)[which].match(/\\d+/g)[0])"
    assert chromium.run(body) == ["255", "28"]
    chromium.prefer("dark")
    assert chromium.run(body) == ["22", "236"]


@needs_chromium
def test_cells_cover_the_image_in_rows(chromium, tmp_path):
    page(weights(6, 6), image=np.random.default_rng(0).normal(size=(4, 6)), path=tmp_path / "i.html")
    chromium.open(tmp_path / "i.html")
    box = "(({left, top, right, bottom}) => [left, top, right, bottom])(each.getBoundingClientRect())"
    image, *cells = chromium.run(f"[...document.querySelectorAll('img, .place')].map((each) => {box})")
    wide, high = (image[2] - image[0]) / 3, (image[3] - image[1]) / 2
    for place, cell in enumerate(cells):
        left, top = image[0] + place % 3 * wide, image[1] + place // 3 * high
        np.testing.assert_allclose(cell, [left, top, left + wide, top + high], atol=1.0)
    chromium.run("document.querySelectorAll('.place')[1].focus()")
    chromium.press("ArrowDown")
    assert chromium.run(READING).startswith("“row 1, column 1” looks at: ")


@needs_chromium
def test_positions_that_look_can_be_others(chromium, tmp_path):
    look = weights(1, T, S)
    page({"cross": look}, list("abcde"), outputs=list("xyz"), path=tmp_path / "c.html")
    chromium.prefer("light")
    chromium.open(tmp_path / "c.html")
    chromium.move("#outputs .place:nth-child(2)")
    check_shaded(chromium, look[0, 1], look.max())
    assert chromium.run(READING).startswith("“y” looks at: ")
    chromium.move("#inputs .place:nth-child(2)")
    check_shaded(chromium, np.zeros(S), 1.0)
