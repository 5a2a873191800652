"""What the page's server tells is what the network computes; and it talks to this page alone."""

import base64
import json

import numpy as np
import pytest

import millrace as mr
from millrace.explain.activations import Watch
from millrace.ir.errors import ArgumentError
from millrace.look.formulas import formula
from millrace.look.meanings import meanings
from millrace.look.server import LookServer
from millrace.look.views import Views
from millrace.words import words


def numbers(text, shape):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)


def windows(told):
    """Every window of a convolution or pooling as an answer tells of it: (row, column) to [height, width, channels]."""
    height, width, channels = told["size"]
    x = np.pad(numbers(told["input"], (height, width, channels)), (*told["pads"], (0, 0)))
    (a, b), (s, t) = told["window"], told["strides"]
    places = np.ndindex(*told["out"])
    return {(i, j): x[i * s : i * s + a, j * t : j * t + b] for i, j in places}


def test_the_network_is_told_with_shapes_arrows_and_its_answer(client, calls, subject):
    status, told = client.ask("network")
    assert status == 200
    by_name = {call["name"]: call for call in told["calls"]}
    assert list(by_name) == list(calls)
    assert by_name["conv1"]["shape"] == [8, 8, 4] and by_name["conv2"]["inputs"] == ["conv1"]
    assert by_name["hidden"]["parameters"] == 24 * 12 + 12
    assert by_name["conv2"]["joins"] == "groups" and by_name["pool"]["joins"] == "one"
    expected = subject.model.predict(subject.example[None])[0]
    np.testing.assert_allclose(told["bars"]["values"], expected, atol=1e-6)
    assert told["bars"]["names"] == list("0123456789") and told["bars"]["probable"]


@pytest.mark.parametrize("name", ["conv1", "conv2"])
def test_the_products_that_a_convolution_shows_add_up_to_what_the_network_computes(client, calls, name):
    for number in range(calls[name].shape[-1]):
        status, told = client.ask("numbers", name=name, map=number)
        assert status == 200
        kernel = numbers(told["kernel"], (*told["window"], told["size"][2]))
        activate = {"relu": lambda x: max(x, 0.0), "tanh": np.tanh}[told["activation"]]
        for place, window in windows(told).items():
            total = 0.0
            for x, w in zip(window.ravel(), kernel.ravel(), strict=True):
                total += float(x) * float(w)
            assert activate(total + told["bias"]) == pytest.approx(calls[name].output[*place, number], abs=1e-5)


def test_a_kernel_of_a_group_sees_the_channels_of_its_group(client, calls):
    _, told = client.ask("numbers", name="conv2", map=5)
    assert told["first"] == 2 and told["size"] == [8, 8, 2]
    np.testing.assert_array_equal(numbers(told["input"], (8, 8, 2)), calls["conv1"].output[..., 2:])


def test_pooling_shows_the_window_whose_greatest_it_keeps(client, calls):
    _, told = client.ask("numbers", name="pool", map=3)
    for place, window in windows(told).items():
        assert window.max() == calls["pool"].output[*place, 3]


def test_a_unit_is_its_largest_products_the_rest_and_the_bias(client, calls, subject):
    x = calls["flatten"].output.astype(np.float64)
    kernel, bias = (w.astype(np.float64) for w in subject.model.get_layer("hidden").get_weights())
    _, told = client.ask("numbers", name="hidden", map=7)
    products = x * kernel[:, 7]
    assert [abs(term["product"]) for term in told["terms"]] == sorted(np.abs(products), reverse=True)[:12]
    assert told["rest"]["count"] == 12
    listed = sum(term["x"] * term["weight"] for term in told["terms"])
    assert listed + told["rest"]["sum"] + told["bias"] == pytest.approx(products.sum() + bias[7])
    assert max(told["sum"], 0) == pytest.approx(told["made"], abs=1e-5)
    row, column, number = told["terms"][0]["from"]
    assert calls["pool"].output[row, column, number] == pytest.approx(told["terms"][0]["x"])


def test_softmax_is_shown_as_powers_over_their_sum(client, calls, subject):
    kernel, bias = (w.astype(np.float64) for w in subject.model.get_layer("answer").get_weights())
    scores = calls["hidden"].output @ kernel + bias
    _, told = client.ask("numbers", name="answer", map=0)
    shares = told["shares"]
    assert shares["total"] == pytest.approx(np.exp(scores - scores.max()).sum())
    for row in shares["rows"]:
        assert row["score"] == pytest.approx(scores[row["class"]])
        assert row["exp"] / shares["total"] == pytest.approx(row["share"], abs=1e-5)
    assert sum(row["share"] for row in shares["rows"]) == pytest.approx(1, abs=1e-5)


def test_batch_normalization_is_worked_out_in_numbers(client, calls):
    weights = calls["norm"].weights
    x = calls["conv2"].output[1, 2, 3]
    by_hand = (x - weights["moving_mean"][3]) / np.sqrt(weights["moving_variance"][3] + 1e-3)
    by_hand = by_hand * weights["gamma"][3] + weights["beta"][3]
    _, told = client.ask("numbers", name="norm", place=[1, 2, 3])
    assert told["value"] == pytest.approx(by_hand, abs=1e-5)
    assert told["lines"][-1].endswith(f"= {told['value']:.4g}".replace("-", "−"))


def test_the_letters_of_a_formula_are_told_with_the_layers_numbers(client):
    _, told = client.ask("layer", name="conv1")
    text = " ".join(told["where"])
    assert "stride, 1;" in text and "row and column, 1." in text and "3 × 3" in text and "counts from 0" in text
    _, told = client.ask("layer", name="conv2")
    assert (
        "stride, 2;" in told["where"][0] and "row and column, 0." in told["where"][0] and "2 groups" in told["where"][1]
    )
    assert "2 × 2" in client.ask("layer", name="pool")[1]["where"][0]
    assert "24 inputs, u over the 12 units" in client.ask("layer", name="hidden")[1]["where"][0]
    _, told = client.ask("layer", name="dropout")
    assert told["weights"] == {} and told["parameters"] == 0  # its random state is no parameter


@pytest.mark.parametrize(
    ("layer", "begins"),
    [
        (mr.layers.Conv2D(2, 3, dilation_rate=2), "d is the dilation, 2:"),
        (
            mr.layers.LocalResponseNormalization(),
            "n runs over 5 neighbouring maps, fewer at the edges. k is 2, α is 0.0001",
        ),
        (mr.layers.Flatten(), "W is the input's width, 8; C its number of maps, 3."),
        (mr.layers.BatchNormalization(), "Mean and variance are those that training gathered; ε is 0.001."),
    ],
)
def test_other_formulas_are_told_with_their_numbers_too(layer, begins):
    model = mr.Sequential([mr.Input((9, 8, 3)), layer])
    call, told = Watch(model)(np.zeros((9, 8, 3), np.float32))[1], words("look")["where"]
    assert any(line.startswith(begins) for line in meanings(call, lambda key, **what: told[key].format(**what)))
    assert ("a·d" in formula(call)) == isinstance(layer, mr.layers.Conv2D)


def test_maps_come_some_at_a_time_with_one_scale(client, calls):
    _, told = client.ask("maps", name="conv2", first=4, count=24)
    assert (told["first"], told["count"], told["total"], told["size"]) == (4, 2, 6, [3, 3])
    np.testing.assert_array_equal(numbers(told["numbers"], (2, 3, 3)), np.moveaxis(calls["conv2"].output, -1, 0)[4:])
    assert told["low"] == calls["conv2"].output.min() and told["high"] == calls["conv2"].output.max()


def test_another_kernel_is_followed_to_the_answer_and_the_model_stays(client, subject, looking):
    layer = subject.model.get_layer("conv1")
    kernel, bias = layer.get_weights()
    edit = {"layer": "conv1", "at": [[0, 0, 0, 1], [2, 1, 0, 1]], "values": [3.0, -2.0]}
    _, plain = client.ask("network")
    status, told = client.ask("network", edits=[edit])
    assert status == 200 and told["before"] == plain["bars"]["values"]
    np.testing.assert_array_equal(layer.get_weights()[0], kernel)
    other = kernel.copy()
    other[0, 0, 0, 1], other[2, 1, 0, 1] = 3.0, -2.0
    layer.set_weights([other, bias])
    try:
        truly = subject.model.predict(subject.example[None])[0]
    finally:
        layer.set_weights([kernel, bias])
    np.testing.assert_allclose(told["bars"]["values"], truly, atol=1e-6)
    assert np.abs(truly - plain["bars"]["values"]).max() > 1e-3
    assert client.ask("network")[1]["bars"] == plain["bars"]


def test_edits_of_several_layers_hold_together_whatever_their_order(client, subject):
    edits = [
        {"layer": "answer", "at": [[0, 0], [1, 0]], "values": [5.0, 5.0]},
        {"layer": "conv1", "at": [[1, 1, 0, 0]], "values": [-4.0]},
    ]
    one, other = (client.ask("network", edits=some)[1]["bars"]["values"] for some in (edits, edits[::-1]))
    assert one == other
    layers = [subject.model.get_layer(name) for name in ("answer", "conv1")]
    kept = [layer.get_weights() for layer in layers]
    try:
        for layer, edit in zip(layers, edits, strict=True):
            kernel, bias = layer.get_weights()
            for place, value in zip(edit["at"], edit["values"], strict=True):
                kernel[tuple(place)] = value
            layer.set_weights([kernel, bias])
        truly = subject.model.predict(subject.example[None])[0]
    finally:
        for layer, weights in zip(layers, kept, strict=True):
            layer.set_weights(weights)
    np.testing.assert_allclose(one, truly, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "question", "said"),
    [
        ("maps", {"name": "conv9"}, "no layer 'conv9'"),
        ("maps", {"name": "conv1", "first": 4}, "no map 5: this layer has 4"),
        ("maps", {"name": "conv1", "first": "x"}, "whole number"),
        ("numbers", {"name": "hidden", "map": 99}, "no unit 100"),
        ("numbers", {"name": "norm", "place": [9, 0, 0]}, "no place"),
        ("numbers", {"name": "norm", "place": ["x", 0, 0]}, "3 whole numbers"),
        (
            "network",
            {"edits": [{"layer": "conv1", "at": [[1, n, 0, 0] for n in range(3)], "values": [3e38] * 3}]},
            "too large",
        ),
        ("nothing", {}, "unknown question"),
        ("network", {"edits": 3}, "edits are a list"),
        ("network", {"edits": [{"layer": "conv1", "at": [[0, 0, 0, 9]], "values": [1]}]}, "no place"),
        ("network", {"edits": [{"layer": "conv1", "at": [[0, 0, 0, -1]], "values": [1]}]}, "no place"),
        ("network", {"edits": [{"layer": "conv1", "at": [[0, 0, 0, 0]], "values": [1e60]}]}, "finite"),
        ("network", {"edits": [{"layer": "pool", "at": [[0]], "values": [1]}]}, "unknown weight"),
        ("network", {"edits": [{"layer": "conv1"}]}, "an edit says"),
    ],
)
def test_a_question_without_an_answer_is_refused_in_words(client, name, question, said):
    status, told = client.ask(name, **question)
    assert status == 400 and said in told["error"]


def test_what_is_no_question_is_refused(client):
    json_type = {"Content-Type": "application/json"}
    assert client.send("POST", "/ask/network", "{", **json_type)[0] == 400
    assert client.send("POST", "/ask/network", "[" * 100_000, **json_type)[0] == 400
    assert client.send("POST", "/ask/network", "{}", **{"Content-Type": "text/plain"})[0] == 415
    assert client.send("POST", "/ask/network", "[]", **json_type)[0] == 400
    assert client.send("POST", "/elsewhere", "{}", **json_type)[0] == 404
    for path in ("/../server.py", "/server.py", "/%2e%2e/server.py", "/look.html", "//etc/passwd"):
        assert client.send("GET", path)[0] == 404


def test_other_hosts_and_pages_are_turned_away(client):
    body, json_type = "{}", {"Content-Type": "application/json"}
    for host in ("evil.example", f"evil.example:{client.port}", "127.0.0.1", f"127.0.0.1:{client.port + 1}"):
        assert client.send("GET", "/", host=host)[0] == 403
        assert client.send("POST", "/ask/network", body, host=host, **json_type)[0] == 403
    assert client.send("POST", "/ask/network", body, Origin="https://evil.example", **json_type)[0] == 403
    assert client.send("POST", "/ask/network", body, Origin=f"http://127.0.0.1:{client.port}", **json_type)[0] == 200
    assert client.send("GET", "/", host=f"localhost:{client.port}")[0] == 200


def test_it_listens_on_this_machine_alone_and_lets_the_page_load_nothing_else(served, client):
    assert served().server_address[0] == "127.0.0.1"
    _, headers, page = client.send("GET", "/")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "http" not in policy and "unsafe" not in policy
    assert b"http://" not in page and b"https://" not in page and b'lang="en"' in page
    assert client.send("HEAD", "/")[2] == b""


def test_a_port_that_cannot_be_had_is_said(served, looking):
    taken = served().server_address[1]
    with pytest.raises(ArgumentError, match=f"port {taken}"):
        LookServer(Views(looking), taken)
    with pytest.raises(ArgumentError, match="65535"):
        LookServer(Views(looking), 70_000)


def test_both_languages_have_every_text_that_the_page_asks_for(served):
    import re
    from importlib.resources import files

    scripts = [file.read_text("utf-8") for file in files("millrace.look").joinpath("page").iterdir()]
    asked = {key for text in scripts for key in re.findall(r'say\("(\w+)"', text)}
    asked |= {key for text in scripts for key in re.findall(r'data-say="(\w+)"', text)}
    for language in ("en", "zh"):
        told = json.loads(served(language).files["/words.json"][1])
        assert not asked - set(told)
    assert b'lang="zh-Hans"' in served("zh").files["/"][1]
