"""What a network sees in a picture: which pixels mattered, its kernels and maps, and the nearest training examples."""

import numpy as np
import pytest
from PIL import Image

import millrace as mr
from millrace.explain.likeness import alike
from millrace.explain.mattered import Sight, starts
from millrace.explain.pages import Pictures
from millrace.explain.sight_page import sight_page
from millrace.ir.errors import ArgumentError
from millrace.layers import Conv2D, Dense, Dropout, Embedding, Flatten, GlobalAveragePooling1D, Input
from millrace.words import words


def two_classes(weights):
    """A network whose class 1 is likelier the larger sum(weights * picture) is."""
    size = weights.shape
    model = mr.Sequential([Input((*size, 1)), Flatten(), Dense(2, "softmax", name="out")])
    kernel = np.zeros((weights.size, 2), np.float32)
    kernel[:, 1] = weights.ravel()
    model.get_layer("out").set_weights([kernel, np.zeros(2, np.float32)])
    return model


def test_covering_finds_the_one_pixel_that_decides():
    weights = np.zeros((20, 20), np.float32)
    weights[13, 4] = 5.0
    picture = np.zeros((20, 20, 1), np.float32)
    picture[13, 4] = 1.0
    found = Sight(two_classes(weights)).covered(picture, 1)
    row, column = np.unravel_index(found.drop.argmax(), found.drop.shape)
    assert (abs(row - 13), abs(column - 4)) <= (found.patch, found.patch)
    assert found.drop[13, 4] == found.drop.max() > 0.4  # sigmoid(5) = 0.993 falls to about 0.5
    assert found.drop[2, 15] == 0.0


def test_the_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 5)).astype(np.float32)
    picture = rng.random((4, 5, 1)).astype(np.float32)
    model = two_classes(weights)
    found = Sight(model).slope(picture, 1).slope

    def log_p(x):
        score = float((weights * x[..., 0]).sum())
        return -np.log1p(np.exp(-score))

    for place in [(0, 0), (3, 4), (2, 1)]:
        up, down = picture.astype(np.float64), picture.astype(np.float64)
        up[place] += 1e-4
        down[place] -= 1e-4
        assert found[place] == pytest.approx(abs(log_p(up) - log_p(down)) / 2e-4, rel=1e-3)


def test_a_picture_of_bytes_is_differentiated_behind_the_layer_that_makes_numbers_of_it():
    model = mr.Sequential(
        [Input((6, 6, 3), dtype="uint8"), mr.layers.Rescaling(1 / 255), Flatten(), Dense(3, "softmax")]
    )
    picture = np.random.default_rng(0).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    found = Sight(model).slope(picture, 0)
    assert found.picture.max() <= 1 and found.picture == pytest.approx(picture / 255, abs=1e-6)
    assert found.slope.shape == (6, 6) and (found.slope > 0).all()
    assert Sight(model).covered(picture, 0).drop.shape == (6, 6)


def test_patches_reach_every_pixel():
    for size in (3, 8, 13, 28, 227):
        step = max(1, round(size / 14))
        patch = min(max(2 * step, 3), size)
        covered = {n for start in starts(size, patch, step) for n in range(start, start + patch)}
        assert covered == set(range(size))


def test_the_nearest_example_of_a_training_picture_is_itself():
    mr.set_seed(0)
    digits = mr.data.digits()
    model = mr.Sequential([Input((8, 8, 1)), Flatten(), Dense(16, "relu", name="hidden"), Dropout(0.5), Dense(10)])
    found = alike(model, digits.x_train[7], digits.x_train[:300], digits.y_train[:300], 3)
    assert found.layer == "hidden" and (found.looked, found.total) == (300, 300)
    assert found.distances[0] == 0.0 and np.array_equal(found.pictures[0], digits.x_train[7])
    assert found.classes[0] == digits.y_train[7] and sorted(found.distances) == found.distances


def test_the_usual_distance_is_the_median_to_the_nearest_other_example():
    model = two_classes(np.ones((1, 1), np.float32))  # one number a picture, which the last layer takes as it is
    x = np.array([0.0, 1.0, 1.5, 4.0, 4.0, 10.0], np.float32).reshape(6, 1, 1, 1)
    apart = [1.0, 0.5, 0.5, 0.0, 0.0, 6.0]
    near, far = (alike(model, np.full((1, 1, 1), n, np.float32), x, np.zeros(6, int), 2) for n in (10.9, 11.1))
    assert near.usual == np.median(apart) == 0.5 and near.measured == 6
    assert near.distances[0] == pytest.approx(0.9) and not near.far  # up to twice the usual
    assert far.distances[0] == pytest.approx(1.1) and far.far
    one = alike(model, x[0], x[:1], np.zeros(1, int), 1)
    assert (one.usual, one.far) == (0.0, False)  # of one example nothing is usual


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_picture_unlike_all_others_is_told_so_where_the_answer_stands(language):
    model = two_classes(np.ones((1, 1), np.float32))
    x = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1)
    said = words("sight", language)
    for value, unlike in [(6.5, False), (9.5, True)]:
        picture = np.full((1, 1, 1), value, np.float32)
        page = sight_page(
            model,
            picture,
            "line",
            "a file",
            ["a", "b"],
            near=alike(model, picture, x, np.ones(6, int), 2),
            language=language,
        )
        assert (said["answer"]["unlike"] in page.lead) == unlike
        told = page.sections[-1].parts[-1].text
        assert ("4.5" in told) == unlike and told.count("。" if language == "zh" else ".") >= 2
        assert "。 " not in page.lead + told
    page = sight_page(model, picture, "line", "dots", ["a", "b"], held=True, language=language)
    assert page.title == said["title"]["held"].format(name="line", about="dots")


def test_the_greatest_unit_of_the_last_layer_is_named_as_its_class():
    model = mr.Sequential([Input((2, 2, 1)), Flatten(), Dense(3, name="first"), Dense(3, "softmax", name="last")])
    model.get_layer("first").set_weights([np.zeros((4, 3), np.float32), np.array([0, 5, 0], np.float32)])
    model.get_layer("last").set_weights([np.eye(3, dtype=np.float32), np.zeros(3, np.float32)])
    page = sight_page(model, np.ones((2, 2, 1), np.float32), "three", "a file", ["cat", "dog", "cow"])
    first, last = page.sections[-3].parts[0].text, page.sections[-2].parts[0].text
    assert "The greatest is unit 2 with 5" in first and "The greatest is class dog with 0.987" in last


def test_files_that_cannot_be_read_are_passed_over(tmp_path):
    for n in range(4):
        folder = tmp_path / "ab"[n % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.full((20, 20, 3), 60 * n, np.uint8)).save(folder / f"{n}.png")
    (tmp_path / "a" / "0.png").write_bytes(b"no picture")
    model = mr.Sequential([Input((8, 8, 3), dtype="uint8"), mr.layers.Rescaling(1 / 255), Flatten(), Dense(2)])
    found = alike(model, np.full((8, 8, 3), 125, np.uint8), mr.data.ImageFolder(tmp_path), None, 2)
    assert found.looked == 3 and found.classes == [0, 1]  # grey 120 in a, then 60 or 180 in b


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_page_has_all_its_parts(language):
    mr.set_seed(0)
    model = mr.Sequential(
        [
            Input((8, 8, 1)), Conv2D(4, 3, activation="relu", name="conv"), Dropout(0.5, name="drop"), Flatten(),
            Dense(10, "softmax", name="answer"),
        ]
    )  # fmt: skip
    digits = mr.data.digits()
    near = alike(model, digits.x_validation[0], digits.x_train[:50], digits.y_train[:50], 2)
    page = sight_page(model, digits.x_validation[0], "tiny", "digits", digits.classes, "3", near, False, language)
    headings = [section.heading for section in page.sections]
    assert len(headings) == 6 and "conv" in headings[3] and "answer" in headings[4]  # dropout passes on, flatten too
    parts = [part for section in page.sections for part in section.parts]
    pictures = [picture for part in parts if isinstance(part, Pictures) for picture in part.pictures]
    assert len(pictures) == 3 + 1 + 1 + 1 + 2 and all(one.about and one.caption for one in pictures)
    assert "{" not in page.lead + page.title + "".join(one.about + one.caption for one in pictures)


def test_without_training_data_the_page_says_so():
    model = two_classes(np.ones((5, 5), np.float32))
    page = sight_page(model, np.ones((5, 5, 1), np.float32), "two", "a file", (), near="there is no folder")
    assert "there is no folder" in page.sections[-1].parts[0].text and "1 and is 100.0% sure" in page.lead


def test_a_network_of_texts_is_refused():
    model = mr.Sequential([Input((7,), dtype="int32"), Embedding(10, 4), GlobalAveragePooling1D(), Dense(2, "softmax")])
    with pytest.raises(ArgumentError, match="take one picture"):
        Sight(model)
