"""Picture files to pixels of one size: every kind, odd and damaged ones, and real photographs against Pillow."""

import contextlib
import io
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from odd_images import HEIGHT, WIDTH, bad, exif, fine, grey, jpeg, png, saved, scene, upright
from PIL import Image

from millrace.data.decode import decode_image, image_size
from millrace.data.picture_header import MAX_PIXELS
from millrace.ir.errors import ArgumentError, DataError

FINE, BAD = fine(), bad()


def apart(one, other):
    """Mean absolute difference."""
    return np.abs(one.astype(int) - other.astype(int)).mean()


def pillows(content, height, width, fit="crop"):
    """Pillow's whole decode and Image.resize: the oracle for pixels."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    if fit == "stretch":
        return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    scale = min(picture.width / width, picture.height / height)
    wide, tall = min(picture.width, width * scale), min(picture.height, height * scale)
    left, top = (picture.width - wide) / 2, (picture.height - tall) / 2
    if scale == 1:
        left, top = left // 1, top // 1
    box = (left, top, min(left + wide, picture.width), min(top + tall, picture.height))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box))


def test_there_are_enough_odd_ones():
    assert len(FINE) >= 40 and len(BAD) >= 30


@pytest.mark.parametrize("name", FINE)
def test_fine(name):
    want = FINE[name]
    height, width = want.pixels.shape[:2]
    made = decode_image(want.content, height, width)
    assert made.shape == (height, width, 3) and made.dtype == np.uint8
    assert apart(made, want.pixels) <= want.within
    assert apart(decode_image(want.content, height, width, channels=1)[..., 0], grey(want.pixels)) <= want.within + 1
    assert image_size(want.content) == (height, width)


@pytest.mark.parametrize("name", BAD)
def test_bad(name):
    for height, channels in ((HEIGHT, 3), (5, 1)):
        with pytest.raises(DataError) as caught:
            decode_image(BAD[name].content, height, WIDTH, channels)
        said = str(caught.value)
        assert BAD[name].says in said and "\n" not in said and "object at" not in said


@pytest.mark.parametrize("name", [name for name in BAD if "claims" in name])
def test_a_lie_about_the_size_gets_no_memory(name):
    tracemalloc.start()
    with pytest.raises(DataError):
        decode_image(BAD[name].content, 64, 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_the_limit_is_on_pixels_not_on_a_side():
    long = png(2, 60_000, 8, 0, 2 * (b"\0" + bytes(60_000)))
    assert decode_image(long, 8, 8).shape == (8, 8, 3)
    too_many = png(MAX_PIXELS // 10_000 + 1, 10_000, 1, 0, b"")
    with pytest.raises(DataError, match=r"8,948 x 10,000 pixels, the limit is 89,478,485"):
        decode_image(too_many, 8, 8)
    with pytest.raises(DataError, match="too large"):
        image_size(BAD["claims 65,000 squared.jpg"].content)


@pytest.mark.parametrize(
    "kind", ["colour.jpg", "halved colours.jpg", "transparent.png", "lossless.webp", "palette.gif"]
)
def test_cut_anywhere_it_is_whole_or_refused(kind):
    content, pixels = FINE[kind].content, FINE[kind].pixels
    whole = decode_image(content, *pixels.shape[:2])
    refused = 0
    for end in range(0, len(content), 3):
        try:
            made = decode_image(content[:end], *pixels.shape[:2])
        except DataError:
            refused += 1
        else:
            np.testing.assert_array_equal(made, whole)  # nothing of the picture was lost
    assert refused > 0.98 * len(content) / 3


@pytest.mark.filterwarnings("error")  # nothing is told beside the error
@pytest.mark.parametrize(
    "kind", ["colour.jpg", "inks, inverted.jpg", "palette.png", "lossy.webp", "palette.gif", "palette.bmp"]
)
def test_flipped_bits_end_in_a_picture_or_a_reason(kind):
    draw = np.random.default_rng(5)
    content = FINE[kind].content
    for _ in range(300):
        broken = bytearray(content)
        for place in draw.integers(0, len(content), 3):
            broken[place] ^= 1 << draw.integers(8)
        with contextlib.suppress(DataError):
            assert decode_image(bytes(broken), 8, 8).shape == (8, 8, 3)
        with contextlib.suppress(DataError):
            assert min(image_size(bytes(broken))) > 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_an_orientation_and_a_fit_together(orientation, fit):
    """A turned picture is fitted as it is seen: as one that was never turned."""
    stored = scene()
    turned = decode_image(saved(stored, "PNG", exif=exif(orientation)[6:]), 18, 14, fit=fit)
    plain = decode_image(saved(np.ascontiguousarray(upright(stored, orientation)), "PNG"), 18, 14, fit=fit)
    assert np.abs(turned.astype(int) - plain).max() <= 1


def test_the_three_fits_of_a_wide_picture():
    """Four columns of one colour each, twice as wide as high."""
    shades = np.array([10, 90, 170, 250], np.uint8)
    wide = np.repeat(np.repeat(shades[None, :], 40, axis=0), 20, axis=1)  # [40, 80]
    content = saved(wide, "PNG")
    cropped = decode_image(content, 40, 40, channels=1, fit="crop")[..., 0]
    np.testing.assert_array_equal(cropped, wide[:, 20:60])
    stretched = decode_image(content, 40, 40, channels=1, fit="stretch")[0, :, 0]
    np.testing.assert_array_equal(stretched[[4, 14, 24, 34]], shades)
    padded = decode_image(content, 40, 40, channels=1, fit="pad")[..., 0]
    assert (padded[:10] == 0).all() and (padded[30:] == 0).all()
    np.testing.assert_array_equal(padded[20, [4, 14, 24, 34]], shades)
    # a high one is barred at its sides
    beside = decode_image(saved(np.ascontiguousarray(wide.T), "PNG"), 40, 40, channels=1, fit="pad")[..., 0]
    np.testing.assert_array_equal(beside, padded.T)


def test_what_needs_no_scaling_stays_sharp():
    rough = np.random.default_rng(1).integers(0, 256, (40, 43, 3), dtype=np.uint8)
    for content, within in ((saved(rough, "PNG"), 0), (jpeg(rough, quality=100), 3)):
        assert apart(decode_image(content, 40, 40), rough[:, 1:41]) <= within


def test_the_edge_of_the_middle_is_scaled_as_the_rest_is():
    """Pixels beside the part that is cut out still weigh in its edge, as Pillow's resize of a box has it."""
    rough = np.random.default_rng(2).integers(0, 256, (300, 500, 3), dtype=np.uint8)
    for picture in (rough, rough[..., 0]):
        content = jpeg(np.ascontiguousarray(picture))
        off = np.abs(decode_image(content, 224, 224).astype(int) - pillows(content, 224, 224))
        assert off[:, [0, -1]].mean() < 1


def test_enlarging_keeps_the_middle_of_a_small_picture():
    content = saved(np.array([[0, 0, 200, 200, 0, 0]], np.uint8), "PNG")
    made = decode_image(content, 8, 8, channels=1)
    assert made.shape == (8, 8, 1) and (made == 200).mean() > 0.4


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize(("height", "width"), [(50, 60), (224, 224), (300, 200), (7, 91)])
def test_synthetic_pictures_as_pillow_has_them(fit, height, width):
    y, x = np.mgrid[0:333, 0:500]
    waves = (127 + 120 * np.sin(x / 20 + (y / 30) ** 1.2))[..., None] * np.array([1, 0.8, 0.5])
    content = jpeg(waves.astype(np.uint8), quality=90, subsampling=2)
    assert apart(decode_image(content, height, width, fit=fit), pillows(content, height, width, fit)) <= 2
    exact = saved(waves.astype(np.uint8), "PNG")
    assert apart(decode_image(exact, height, width, fit=fit), pillows(exact, height, width, fit)) <= 0.1


def photographs(folder, most):
    """Contents of real photographs, or a skip that says what is missing."""
    root = Path(os.environ.get("MILLRACE_DATA") or "no MILLRACE_DATA").expanduser() / folder
    files = sorted(root.rglob("*.JPEG"))
    if not files:
        pytest.skip(f"needs the real {folder}: set MILLRACE_DATA to the folder that holds it")
    return [path.read_bytes() for path in files[:: max(1, len(files) // most)][:most]]


@pytest.mark.parametrize(("folder", "most"), [("imagenet_samples", 40), ("imagenette/train", 60)])
def test_real_photographs_as_pillow_has_them(folder, most):
    contents = photographs(folder, most)
    for size in (64, 112, 224, 256):
        off = [apart(decode_image(content, size, size), pillows(content, size, size)) for content in contents]
        assert np.mean(off) <= 2 and np.max(off) < 10


def test_a_large_photograph_is_decoded_small():
    """16 megapixels that become 64 x 64 take neither the time nor the memory of 16 megapixels."""
    content = jpeg(np.asarray(Image.fromarray(scene()).resize((4000, 4000))), quality=80)
    want = pillows(content, 64, 64)
    tracemalloc.start()
    made = decode_image(content, 64, 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6
    assert apart(made, want) <= 2


def test_into_a_place_of_a_batch():
    batch = np.full((2, 30, 20, 3), 7, np.uint8)
    content = FINE["colour.jpg"].content
    made = decode_image(content, 30, 20, out=batch[1])
    assert np.shares_memory(made, batch)
    np.testing.assert_array_equal(batch[1], decode_image(content, 30, 20))
    assert (batch[0] == 7).all()
    batch[1] = 7
    decode_image(content, 30, 20, fit="pad", out=batch[1])
    assert (batch[1][0] == 0).all()  # bars are written, also over what was there


def test_threads_give_the_same():
    contents = [want.content for want in FINE.values()]
    alone = [decode_image(content, 33, 21) for content in contents]
    with ThreadPoolExecutor(4) as pool:
        for made in pool.map(lambda _: [decode_image(content, 33, 21) for content in contents], range(8)):
            for one, other in zip(made, alone, strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_jpeg_that_the_fast_decoder_does_not_know_goes_the_slow_way(monkeypatch):
    def refuse(*_, **__):
        raise ValueError("Could not determine subsampling level of JPEG image")

    content = FINE["orientation 6.jpg"].content
    fast = decode_image(content, 30, 20)
    monkeypatch.setattr("simplejpeg.decode_jpeg", refuse)
    assert apart(decode_image(content, 30, 20), fast) <= 0.1
    for name in ("half.jpg", "half, inks.jpg", "no tables.jpg"):
        with pytest.raises(DataError, match=r"cut short|damaged"):
            decode_image(BAD[name].content, 30, 20)


def test_arguments():
    content = FINE["colour.jpg"].content
    for arguments, says in (
        ({"height": 0, "width": 5}, "at least 1, got 0 x 5"),
        ({"height": 5, "width": 5, "channels": 4}, "channels must be 1"),
        ({"height": 5, "width": 5, "fit": "corp"}, "Did you mean 'crop'"),
        (
            {"height": 5, "width": 5, "out": np.zeros((5, 5, 1), np.uint8)},
            r"out must be uint8 \[5, 5, 3\], got uint8 \[5, 5",
        ),
        ({"height": 5, "width": 5, "out": np.zeros((5, 5, 3))}, "got float64"),
    ):
        with pytest.raises(ArgumentError, match=says):
            decode_image(content, **arguments)


def test_what_is_given_may_be_written_to():
    made = decode_image(FINE["colour.png"].content, HEIGHT, WIDTH)
    made[0] = 0
    np.testing.assert_array_equal(made[1:], FINE["colour.png"].pixels[1:])


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("size", [(20, 20), (31, 17), (90, 64)])
def test_where_vectors_are_lacking_pillow_gives_nearly_the_same(monkeypatch, size, fit):
    """As on a platform for which cykooz-resizer has no wheel: in colour, in grey, smaller and larger."""
    content = jpeg(np.kron(scene(), np.ones((2, 2, 1), np.uint8)))
    with_vectors = [decode_image(content, *size, channels, fit) for channels in (3, 1)]
    monkeypatch.setattr("millrace.data.resizing._tools", lambda: None)
    for made, channels in zip(with_vectors, (3, 1), strict=True):
        plain = decode_image(content, *size, channels, fit)
        assert plain.shape == made.shape and apart(plain, made) < 0.6
