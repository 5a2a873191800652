"""The page in a browser: by pointer, by keyboard, for a screen reader, at 360 and 1440 pixels."""

import re

import numpy as np
import pytest

import millrace as mr

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 360, "height": 780}


@pytest.fixture(scope="module")
def opened(browser, served):
    """Open the page in a view of its own; what it complained of, and whom it asked, is noted on the page."""
    pages = []

    def start(viewport=WIDE, language="en", **how):
        page = browser.new_page(viewport=viewport, **how)
        page.set_default_timeout(8_000)
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(served(language).address)
        page.wait_for_selector("body[data-ready]")
        pages.append(page)
        return page

    yield start
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def page(opened):
    """One page that several tests go on with; each begins by choosing its layer."""
    return opened(reduced_motion="reduce")


def choose(page, layer):
    """Open a layer, and wait until all of it is there: what was typed before would go into the panel of before."""
    page.evaluate("document.querySelector('#panel-body').firstElementChild.dataset.old = 'true'")
    page.click(f"button[data-layer={layer}]")
    page.wait_for_function(
        "name => document.getElementById('panel-title').textContent.split(' ').includes(name)", arg=layer
    )
    page.wait_for_selector("#panel-body:not(:has([data-old])):has(.all-maps li) .sum")


def audit(page):
    """What axe finds wrong, in words."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page).response["violations"]
    return [(one["id"], node["html"][:160]) for one in found for node in one["nodes"]]


def number(text):
    """The number that a line ends with."""
    return float(re.findall(r"−?[\d.]+(?:e-?\d+)?", text)[-1].replace("−", "-"))


def test_every_layer_opens_and_shows_maps_and_numbers(page, calls):
    for name, call in list(calls.items())[1:]:
        choose(page, name)
        assert page.locator("button[aria-current=true]").get_attribute("data-layer") == name
        count = call.shape[-1]
        assert page.locator(".all-maps li").count() == count
        assert call.kind in page.inner_text("#panel-body .about")
        assert page.locator("#panel .sum").first.inner_text().strip(), name
    assert not page.said


def test_a_pooling_window_says_its_greatest(page, calls):
    choose(page, "pool")
    page.wait_for_function("document.querySelector('#panel .sum').textContent.includes('max(')")
    row, column = (int(page.input_value(f"label:has-text('{name}') input")) - 1 for name in ("row", "column"))
    result = number(page.locator("#panel .sum").first.inner_text())
    assert result == pytest.approx(float(calls["pool"].output[row, column, 0]), rel=1e-3, abs=1e-6)


def test_the_kernel_moves_by_arrow_keys_and_the_products_add_up(page, calls, subject):
    choose(page, "conv1")
    page.fill("label:has-text('row') input", "3")
    page.fill("label:has-text('column') input", "4")
    page.keyboard.press("Tab")
    page.locator(".mover").first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    row, column = 3, 5  # from the third row and fourth column, counted from 1
    result = page.locator(".sum").first
    assert number(result.inner_text()) == pytest.approx(
        float(calls["conv1"].output[row, column, 0]), rel=1e-3, abs=1e-6
    )
    kernel, _ = subject.model.get_layer("conv1").get_weights()
    window = np.pad(subject.example, ((1, 1), (1, 1), (0, 0)))[row : row + 3, column : column + 3, 0]
    tables = [
        [number(text) for text in page.locator(".numbers table").nth(n).locator("td").all_inner_texts()] for n in (0, 2)
    ]
    np.testing.assert_allclose(tables[0], window.ravel(), rtol=6e-3, atol=1e-6)
    np.testing.assert_allclose(tables[1], (window * kernel[..., 0, 0]).ravel(), rtol=6e-3, atol=1e-6)
    total = float((window * kernel[..., 0, 0]).sum())
    assert f"{total:.4g}".replace("-", "−") in result.locator(".line").first.inner_text()
    assert page.inner_text("#status").startswith("Row 4, column 6.")


def test_the_window_follows_the_pointer_and_stays_inside(page):
    choose(page, "conv1")
    box = page.locator(".mover").first.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 10)
    page.mouse.up()
    assert page.input_value("label:has-text('row') input") == "1"
    assert page.input_value("label:has-text('column') input") == "8"
    page.keyboard.press("Tab")
    page.locator(".mover").first.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert page.input_value("label:has-text('column') input") == "8"


def test_a_changed_number_changes_the_map_and_the_bars_and_can_be_taken_back(page, subject):
    choose(page, "conv1")
    layer = subject.model.get_layer("conv1")
    before = page.locator("#bars .value").all_inner_texts()
    page.fill(".numbers input[data-place='1,1']", "6")
    page.wait_for_selector("#bars .then")
    kernel, bias = layer.get_weights()
    other = kernel.copy()
    other[1, 1, 0, 0] = 6
    layer.set_weights([other, bias])
    try:
        truly = subject.model.predict(subject.example[None])[0]
    finally:
        layer.set_weights([kernel, bias])
    now = page.locator("#bars li > .value:not(.soft)").all_inner_texts()
    np.testing.assert_allclose([float(text.rstrip("%")) for text in now], 100 * truly, atol=0.051)
    assert [text.replace("was ", "") for text in page.locator("#bars .soft.value").all_inner_texts()] == before
    said = page.inner_text("#panel .effect")
    assert said.startswith("Before the change") and said == page.inner_text("#status")
    assert page.locator("figure:has-text('Before the change')").is_visible()
    choose(page, "hidden")  # another layer sees the change, too
    choose(page, "conv1")
    assert page.input_value(".numbers input[data-place='1,1']") == "6"
    page.click("button.reset")
    page.wait_for_selector("#bars .then", state="detached")
    assert page.locator("#bars .value").all_inner_texts() == before


def test_a_tried_kernel_and_a_changed_weight_are_followed_too(page):
    choose(page, "conv2")
    page.select_option("select.try", "zero")
    page.wait_for_selector("#bars .then")
    sums = page.locator(".sum").first.inner_text()
    assert "Over all 2 input maps: 0" in sums
    page.click("button.reset-all")
    page.wait_for_selector("#bars .then", state="detached")
    choose(page, "answer")
    page.fill(".terms input >> nth=0", "-9")
    page.keyboard.press("Tab")
    page.wait_for_selector("#bars .then")
    page.click("button.reset-all")
    page.wait_for_selector("#bars .then", state="detached")


def test_after_a_change_every_map_is_shown_as_it_is_now(page, subject):
    choose(page, "conv1")
    layer = subject.model.get_layer("conv1")
    kernel, bias = layer.get_weights()
    other = kernel.copy()
    other[..., 2] = 0
    first = page.locator(".all-maps button[data-map='2']")
    before = first.get_attribute("aria-label"), first.locator("canvas").evaluate("it => it.toDataURL()")
    page.select_option(".pick-map", index=2)
    page.wait_for_selector("figcaption:has-text('Output map 3')")
    page.select_option("select.try", "zero")
    page.wait_for_function("told => document.querySelector('#panel .effect').textContent.startsWith('Before')")
    flat = max(float(bias[2]), 0.0)
    now = first.get_attribute("aria-label")
    assert number(now.split(",")[0]) == pytest.approx(flat, rel=1e-3) and now.startswith("Map 3: mean ")
    drawn = first.locator("canvas").evaluate("it => it.toDataURL()")
    ends = page.locator(".scale span:not(.unseen)").all_inner_texts()
    layer.set_weights([other, bias])
    try:
        through = mr.Model(subject.model.inputs, layer.calls[0].outputs[0])
        assert number(ends[-1]) == pytest.approx(float(through.predict(subject.example[None]).max()), rel=1e-3)
    finally:
        layer.set_weights([kernel, bias])
    choose(page, "pool")
    choose(page, "conv1")  # opened anew it is the same
    assert first.get_attribute("aria-label") == now != before[0]
    assert first.locator("canvas").evaluate("it => it.toDataURL()") == drawn != before[1]
    page.click("button.reset-all")
    page.wait_for_selector("#bars .then", state="detached")
    page.wait_for_selector(f".all-maps [data-map='2'][aria-label='{before[0]}']")


def test_the_last_layer_names_its_classes(page, subject):
    choose(page, "answer")
    p = subject.model.predict(subject.example[None])[0]
    best = str(int(p.argmax()))
    assert page.evaluate("document.querySelector('select.pick-map').selectedOptions[0].text") == best
    assert page.get_attribute(f".all-maps [data-map='{best}']", "aria-label").startswith(f"Class {best}: ")
    assert page.inner_text(f".all-maps [data-map='{best}'] .class") == best
    page.select_option(".pick-map", label="3")
    page.wait_for_selector(".result:has-text('3: ')")
    above, below, made = re.findall(r"[\d.]+(?:e-\d+)?", page.inner_text(".result >> nth=-1"))[1:]
    assert f"{float(above) / float(below):.4g}" == f"{float(made):.4g}"


def test_a_quotient_is_written_so_that_it_holds(page):
    write = "([a, b]) => import('/words.js').then(words => words.quotient(a, b))"
    for a, b in [(1, 1.000097), (1, 1.0000004), (0.36788, 1.58198), (4.9e-5, 1.00005), (0.2, 3), (1, 2)]:
        line = page.evaluate(write, [a, b])
        assert f"{float(line['above']) / float(line['below']):.4g}" == f"{float(line['made']):.4g}", line
        assert line["below"] != "1" and line["made"] != "1"
    assert page.evaluate(write, [1, 1.000097]) == {"above": "1", "below": "1.0001", "made": "0.9999"}
    assert page.evaluate(write, [1, 1]) == {"above": "1", "below": "1", "made": "1"}
    percent = "p => import('/words.js').then(words => words.percent(p))"
    shares = {0.178: "17.8%", 0.9997: "99.97%", 0.999996: "99.9996%", 0.99999994: "99.99999%", 1: "100.0%", 0: "0.0%"}
    assert {p: page.evaluate(percent, p) for p in shares} == shares


def test_the_whole_page_goes_by_keyboard(page):
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.locator("button[data-layer=image]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.layer") == "conv2"
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.id === 'panel'")  # so that a screen reader goes on there
    assert page.inner_text("#panel-title") == "Layer hidden"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "pick-map"


def test_what_is_wrong_is_said_on_the_page(page):
    page.evaluate("import('/ask.js').then(ask => ask.ask('maps', {name: 'nowhere'}).catch(() => {}))")
    page.wait_for_selector("#trouble:has-text('no layer')")
    assert page.locator("#trouble").get_attribute("role") == "alert"
    page.said.clear()  # the browser notes a refused request itself
    choose(page, "conv1")
    assert page.inner_text("#trouble") == ""


@pytest.mark.parametrize("layer", ["conv1", "pool", "answer"])
def test_axe_finds_nothing_wrong(page, layer):
    choose(page, layer)
    assert not audit(page)


def test_axe_finds_nothing_wrong_in_the_dark_and_on_a_phone(opened, served):
    page = opened(NARROW, "zh", color_scheme="dark")
    for layer in ("conv1", "answer"):
        choose(page, layer)
        assert not audit(page)
    assert page.get_attribute("html", "lang") == "zh-Hans"
    assert page.inner_text("#network-title") == "网络"
    assert not page.said
    address = served("zh").address
    assert all(url.startswith((address, "data:")) for url in page.asked), page.asked


OUTSIDE = """() => [...document.querySelectorAll("body *")].filter(it => {
    const box = it.getBoundingClientRect();
    const hidden = it.closest(".unseen, .skip, .scroll *, noscript") || !box.width;
    return !hidden && (box.right > innerWidth + 1 || box.left < -1);
}).map(it => `${it.tagName}.${it.className.baseVal ?? it.className} ${Math.round(it.getBoundingClientRect().right)}`)"""


@pytest.mark.parametrize("language", ["en", "zh"])
def test_on_a_phone_nothing_sticks_out_and_marks_are_those_of_the_language(opened, language):
    page = opened(NARROW, language, reduced_motion="reduce")
    for layer in ("conv1", "norm", "hidden", "answer"):
        choose(page, layer)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert not page.evaluate(OUTSIDE)
        text = page.inner_text("body")
        if language == "zh":
            assert not re.search("[\u4e00-\u9fff] ?[,;:?!]|[,:;] ?[\u4e00-\u9fff]|[，。：；、] *[^\\S\n]", text)
            assert not re.search(r"\(偏置\)", text)
        assert not re.search(r"\d %", text)


def test_a_wide_page_does_not_scroll_sideways_and_asks_no_other_host(page, served):
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    assert page.asked and all(url.startswith((served().address, "data:")) for url in page.asked)
