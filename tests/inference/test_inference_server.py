"""The server's protocol and each of its limits, through the ASGI application, and its batches."""

import asyncio
import base64
import json
import struct
import threading
import time
from io import BytesIO

import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

import millrace as mr
from millrace.inference import About, Predictor
from millrace.inference.server.app import READY, STOPPING, Service
from millrace.inference.server.batching import Batcher
from millrace.inference.server.command import try_it
from millrace.inference.server.limits import Budget, Limits, Refusal, Share
from millrace.inference.server.metrics import Metrics
from millrace.inference.server.running import config_of, listening
from millrace.inference.server.served import Served, batch_of
from millrace.inference.under_load.client import request
from millrace.ir.errors import ArgumentError
from millrace.ir.graph import Graph
from millrace.ir.types import TensorType

# What an ASGI server tells of a request to the model `scores`, before its body.
ASKING = {
    "type": "http",
    "method": "POST",
    "path": "/v2/models/scores/infer",
    "headers": [],
    "query_string": b"",
}


def predictor_of(inputs, outputs, about=None):
    """A predictor of a graph without weights, in the interpreter."""
    return Predictor(Graph(inputs, list(outputs.values())), list(outputs), about, "numpy")


def simple():
    """The model of Triton's examples: the sum of two inputs and their difference, 16 whole numbers each."""
    a, b = (mr.Input((16,), dtype="int32", name=f"INPUT{n}") for n in range(2))
    return predictor_of([a, b], {"OUTPUT0": a + b, "OUTPUT1": a - b}, About("simple"))


def scores(**about):
    """Four numbers an example, twice: their classes can be asked for."""
    x = mr.Input((4,), name="x")
    return predictor_of([x], {"y": x * 2.0}, About("scores", **about))


def client_of(predictor, name=None, **limits):
    service = Service(Served.of(predictor, name), Limits(**limits))
    service.state = READY
    return TestClient(service.app, raise_server_exceptions=False), service


@pytest.fixture
def triton():
    return client_of(simple())[0]


@pytest.fixture
def four():
    return client_of(scores(classes=("a", "b", "c", "d")))[0]


def entry(name, shape, datatype, data=None, **parameters):
    made = {"name": name, "shape": shape, "datatype": datatype}
    return made | ({} if data is None else {"data": data}) | ({"parameters": parameters} if parameters else {})


def four_numbers(data=(1, 2, 3, 4), **other):
    return {"inputs": [entry("x", [1, 4], "FP32", list(data))]} | other


def ask(client, told, name="scores", **headers):
    return client.post(f"/v2/models/{name}/infer", json=told, headers=headers)


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"] and len(answer.text) < 500 and "Traceback" not in answer.text
    return answer.json()["error"]


# What the specification shows


def test_metadata_and_health_have_the_fields_of_the_specification(triton):
    about = triton.get("/v2").json()
    assert about["name"] == "millrace" and {"binary_tensor_data", "classification"} <= set(about["extensions"])
    assert triton.get("/v2/health/live").json() == {"live": True}
    assert triton.get("/v2/health/ready").json() == {"ready": True}
    assert triton.get("/v2/models/simple/ready").json() == {"name": "simple", "ready": True}
    for path in ("/v2/models/simple", "/v2/models/simple/versions/1"):
        assert triton.get(path).json() == {
            "name": "simple",
            "versions": ["1"],
            "platform": "millrace",
            "inputs": [
                {"name": "INPUT0", "datatype": "INT32", "shape": [-1, 16]},
                {"name": "INPUT1", "datatype": "INT32", "shape": [-1, 16]},
            ],
            "outputs": [
                {"name": "OUTPUT0", "datatype": "INT32", "shape": [-1, 16]},
                {"name": "OUTPUT1", "datatype": "INT32", "shape": [-1, 16]},
            ],
        }


@pytest.mark.parametrize("nested", [False, True])
def test_an_inference_in_json_answers_with_id_names_and_all_outputs(triton, nested):
    a, b = np.arange(32).reshape(2, 16), np.ones((2, 16), int)
    data = [x.tolist() if nested else x.ravel().tolist() for x in (a, b)]
    told = {"id": "42", "inputs": [entry(f"INPUT{n}", [2, 16], "INT32", data[n]) for n in (1, 0)]}
    told["inputs"][0]["data"], told["inputs"][1]["data"] = data[1], data[0]
    answer = triton.post("/v2/models/simple/versions/1/infer", json=told).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("simple", "1", "42")
    assert [out["name"] for out in answer["outputs"]] == ["OUTPUT0", "OUTPUT1"]
    assert answer["outputs"][1] == entry("OUTPUT1", [2, 16], "INT32", (a - b).ravel().tolist())
    told["outputs"] = [{"name": "OUTPUT1"}]
    assert [out["name"] for out in ask(triton, told, "simple").json()["outputs"]] == ["OUTPUT1"]


def test_binary_tensors_go_both_ways_as_tritons_extension_has_them(triton):
    a, b = np.arange(16, dtype="<i4"), np.full(16, 3, "<i4")
    told = {
        "inputs": [
            entry("INPUT0", [1, 16], "INT32", binary_data_size=64),
            entry("INPUT1", [1, 16], "INT32", b.tolist()),
        ],
        "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}],
    }
    text = json.dumps(told).encode()
    headers = {"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/octet-stream"}
    answer = triton.post("/v2/models/simple/infer", content=text + a.tobytes(), headers=headers)
    length = int(answer.headers["Inference-Header-Content-Length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    first, second = json.loads(answer.content[:length])["outputs"]
    assert first == entry("OUTPUT0", [1, 16], "INT32", binary_data_size=64) and second["data"] == (a - b).tolist()
    np.testing.assert_array_equal(np.frombuffer(answer.content[length:], "<i4"), a + b)
    told["outputs"], told["parameters"] = [], {"binary_data_output": True}
    text = json.dumps(told).encode()
    headers["Inference-Header-Content-Length"] = str(len(text))
    answer = triton.post("/v2/models/simple/infer", content=text + a.tobytes(), headers=headers)
    found = np.frombuffer(answer.content[int(answer.headers["Inference-Header-Content-Length"]) :], "<i4")
    np.testing.assert_array_equal(found, np.concatenate([a + b, a - b]))


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "uint16", "int64", "float16", "bfloat16", "float32", "float64"]
)
def test_every_datatype_is_read_and_written_in_both_forms(dtype):
    x = mr.Input((3,), dtype=dtype, name="x")
    client, _ = client_of(predictor_of([x], {"y": mr.concatenate([x, x], axis=1)}))
    given = np.array([[1, 0, 1]]).astype(dtype)
    names = {"bool": "BOOL", "bfloat16": "BF16", **{f"float{n}": f"FP{n}" for n in (16, 32, 64)}}
    datatype = names.get(dtype, dtype.upper())
    plain = given.astype(float).tolist() if "float" in dtype else given.tolist()
    answer = ask(client, {"inputs": [entry("x", [1, 3], datatype, plain)]}, "model").json()["outputs"][0]
    assert answer["datatype"] == datatype and answer["data"] == plain[0] * 2
    text = json.dumps({
        "inputs": [entry("x", [1, 3], datatype, binary_data_size=given.nbytes)],
        "parameters": {"binary_data_output": True},
    }).encode()  # fmt: skip
    headers = {"Inference-Header-Content-Length": str(len(text))}
    answer = client.post("/v2/models/model/infer", content=text + given.tobytes(), headers=headers)
    assert answer.content.endswith(given.tobytes() * 2)


def test_the_best_classes_come_as_value_index_and_label(four):
    """The numbers of Triton's classification extension."""
    told = four_numbers([1, 5, 10, 4], outputs=[{"name": "y", "parameters": {"classification": 2}}])
    assert ask(four, told).json()["outputs"] == [entry("y", [1, 2], "BYTES", ["20.0:2:c", "10.0:1:b"])]
    bare, _ = client_of(scores())
    assert ask(bare, told).json()["outputs"][0]["data"] == ["20.0:2", "10.0:1"]
    told["outputs"][0]["parameters"]["binary_data"] = True
    assert ask(bare, told).content.endswith(b"\x06\0\0\x0020.0:2\x06\0\0\x0010.0:1")
    for count in (5, -1, "2", 1.5, True):
        told["outputs"][0]["parameters"]["classification"] = count
        assert "from 1 to 4" in error_of(ask(four, told), 400)


# Pictures and sentences


@pytest.fixture(scope="module")
def digits():
    """An untrained network of digits, with a name for each class."""
    from millrace.models.digits import network

    about = About("digits", tuple("0123456789"), recipe="digits")
    return Predictor.of(network(), about, "numpy")


def picture(size=(8, 8), kind="PNG"):
    pixels = np.full(size, 255, np.uint8)
    pixels[1:7, 3:5] = 0
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def test_a_picture_is_read_as_predict_reads_its_file(digits, tmp_path):
    from millrace.models.digits import example

    client, _ = client_of(digits)
    path = tmp_path / "one.png"
    path.write_bytes(picture())
    want = digits.predict(example(str(path))[None])[0]
    assert client.get("/v2/models/digits").json()["inputs"][0]["parameters"] == {"bytes": "picture"}
    encoded = [base64.b64encode(picture(kind=kind)).decode() for kind in ("PNG", "WebP")]
    answer = ask(client, {"inputs": [entry("image", [2], "BYTES", encoded)]}, "digits").json()["outputs"][0]
    assert answer["shape"] == [2, 10]
    np.testing.assert_allclose(answer["data"][:10], want, rtol=1e-5)
    raw = struct.pack("<I", len(picture())) + picture()
    text = json.dumps({"inputs": [entry("image", [1, 1], "BYTES", binary_data_size=len(raw))]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    answer = client.post("/v2/models/digits/infer", content=text + raw, headers=headers).json()
    np.testing.assert_allclose(answer["outputs"][0]["data"], want, rtol=1e-5)


def test_pictures_that_cannot_be_read_are_refused_before_they_are_decoded(digits):
    client, _ = client_of(digits, max_pixels=1000)

    def refused(content, status):
        data = content if isinstance(content, str) else base64.b64encode(content).decode()
        return error_of(ask(client, {"inputs": [entry("image", [1], "BYTES", [data])]}, "digits"), status)

    assert "40 x 30 pixels; the limit is 1,000" in refused(picture((40, 30)), 413)
    header = picture()[:16] + struct.pack(">II", 60_000, 60_000) + picture()[24:]
    assert "too large" in refused(header, 413)
    assert "not base64" in refused("%%%", 400)
    assert "no JPEG, PNG" in refused(b"GIF? no", 400)
    assert "cut short" in refused(picture()[:-20], 400)
    blank = BytesIO()
    Image.new("L", (8, 8)).save(blank, "PNG")
    assert "blank" in refused(blank.getvalue(), 400)
    raw = struct.pack("<I", 1000) + picture()
    text = json.dumps({"inputs": [entry("image", [1], "BYTES", binary_data_size=len(raw))]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    answer = client.post("/v2/models/digits/infer", content=text + raw, headers=headers)
    assert "says 1,000 bytes" in error_of(answer, 400)


def test_sentences_are_strings_and_never_paths(tmp_path):
    from millrace.models.sentiment import network

    words = ("", "[UNK]", "good", "bad")
    about = About("sentiment", ("negative", "positive"), words, "sentiment")
    predictor = Predictor.of(network(words=4), about, "numpy")
    client, _ = client_of(predictor)
    row = np.zeros((1, 40), np.int32)
    row[0, :2] = 2, 3
    told = {"inputs": [entry("sentence", [1], "BYTES", ["Good, BAD"])]}
    row[0, :3] = 2, 1, 3
    answer = ask(client, told, "sentiment").json()["outputs"][0]
    np.testing.assert_allclose(answer["data"], predictor.predict(row)[0], rtol=1e-5)
    path = tmp_path / "secret.txt"
    path.write_text("good")
    told["inputs"][0]["data"] = [str(path)]
    assert "knows none of these words" in error_of(ask(client, told, "sentiment"), 400)
    numbers = {"inputs": [entry("sentence", [1, 40], "INT32", [4] * 40)]}
    assert "rows for 0 to 3" in error_of(ask(client, numbers, "sentiment"), 400)


# What is refused


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON: "),
        (b"[1]", "a JSON object"),
        (b"\xff\xfe{}", "UTF-8"),
        (b'{"inputs": ' + b"[" * 50_000, "too deep"),
        (b'{"inputs": ' + b'{"a":' * 50_000, "too deep"),
        (b'{"inputs": [], "inputs": []}', "'inputs' stands twice"),
        (b'{"inputs": [{"name": "x", "shape": [1,4], "datatype": "FP32", "data": [NaN,1,1,1]}]}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "thousands of digits"),
        (b'{"inputs": {}}', "inputs must be a list of objects"),
        (b'{"inputs": [1]}', "inputs must be a list of objects"),
        (b"{}", "input 'x' is missing"),
    ],
)
def test_what_is_no_request_is_told_why(four, body, said):
    answer = four.post("/v2/models/scores/infer", content=body, headers={"Content-Type": "application/json"})
    assert said in error_of(answer, 400)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "z"}, "there is no input 'z': the model's inputs are x"),
        ({"name": "z" * 10_000}, "there is no input"),
        ({"datatype": "FP64"}, "input 'x' is FP32, got datatype 'FP64'"),
        ({"datatype": "BYTES"}, "input 'x' is FP32, got"),
        ({"datatype": None}, "input 'x' is FP32, got"),
        ({"shape": [1, 5]}, "takes shape [-1, 4]"),
        ({"shape": [4]}, "takes shape [-1, 4]"),
        ({"shape": [0, 4], "data": []}, "is empty"),
        ({"shape": [1.0, 4]}, "a list of whole numbers"),
        ({"shape": [True, 4]}, "a list of whole numbers"),
        ({"shape": [-1, 4]}, "a list of whole numbers"),
        ({"shape": [2**62, 4]}, "elements, data has 4"),
        ({"shape": [1] * 10_000}, "takes shape"),
        ({"data": [1, 2, 3]}, "has 4 elements, data has 3"),
        ({"data": [[1, 2], [3, 4]]}, "axis 0 of shape [1, 4] is 1, data has 2"),
        ({"data": [[1, 2, 3]]}, "axis 1 of shape [1, 4] is 4, data has 3"),
        ({"data": [[1, [2], 3, 4]]}, "takes a number, element 1 is [2]"),
        ({"data": ["1", 2, 3, 4]}, "element 0 is '1'"),
        ({"data": [1, None, 3, 4]}, "element 1 is None"),
        ({"data": [1, 2, True, 4]}, "element 2 is True"),
        ({"data": [1, 2, 3, 1e39]}, "too large for float32"),
        ({"data": [1, 2, 3, 10**400]}, "too large for FP32"),
        ({"data": "abcd"}, "data must be a list"),
        ({"data": None}, "data must be a list"),
        ({"parameters": 1}, "parameters of input 'x' must be an object"),
        ({"parameters": {"binary_data_size": 16}}, "0 bytes are left"),
    ],
)
def test_what_does_not_fit_the_model_is_told_where(four, change, said):
    told = four_numbers()
    told["inputs"][0] |= change
    assert said in error_of(ask(four, told), 400)
    assert ask(four, four_numbers()).json()["outputs"][0]["data"] == [2, 4, 6, 8]


def test_whole_numbers_beyond_their_datatype_and_fractions_are_refused(triton):
    for bad, said in ((2**31, "goes from -2147483648 to 2147483647"), (0.5, "a whole number"), (10**30, "goes from")):
        inputs = [entry("INPUT0", [1, 16], "INT32", [bad] + [0] * 15), entry("INPUT1", [1, 16], "INT32", [0] * 16)]
        assert said in error_of(ask(triton, {"inputs": inputs}, "simple"), 400)
    inputs[0]["data"], inputs[1]["shape"], inputs[1]["data"] = [0] * 16, [2, 16], [0] * 32
    assert "INPUT0 1, INPUT1 2" in error_of(ask(triton, {"inputs": inputs}, "simple"), 400)
    assert "given twice" in error_of(ask(triton, {"inputs": [inputs[0]] * 2}, "simple"), 400)


def test_ids_outputs_and_parameters_are_checked(four):
    assert "id must be a string" in error_of(ask(four, four_numbers(id=1)), 400)
    assert "id must be a string" in error_of(ask(four, four_numbers(id="x" * 2000)), 400)
    assert "no output 'z'" in error_of(ask(four, four_numbers(outputs=[{"name": "z"}])), 400)
    assert "asked for twice" in error_of(ask(four, four_numbers(outputs=[{"name": "y"}] * 2)), 400)
    assert "true or false" in error_of(ask(four, four_numbers(parameters={"binary_data_output": 1})), 400)
    assert ask(four, four_numbers(model_name="scores", parameters={"own": 1})).status_code == 200  # as Triton's clients


def test_binary_data_of_the_wrong_size_or_not_finite_are_refused(four):
    def sent(raw, size, header=0):
        text = json.dumps({"inputs": [entry("x", [1, 4], "FP32", binary_data_size=size)]}).encode()
        headers = {"Inference-Header-Content-Length": str(header or len(text))}
        return four.post("/v2/models/scores/infer", content=text + raw, headers=headers)

    assert "has 16 bytes, got 15" in error_of(sent(bytes(15), 15), 400)
    assert "3 bytes are left" in error_of(sent(bytes(3), 16), 400)
    assert "belong to no input" in error_of(sent(bytes(20), 16), 400)
    assert "Inference-Header-Content-Length" in error_of(sent(bytes(16), 16, 10**9), 400)
    assert "a number of bytes" in error_of(sent(bytes(16), 16, "x"), 400)
    for bad in (np.nan, np.inf):
        assert "NaN, infinite" in error_of(sent(np.array([0, bad, 0, 0], "<f4").tobytes(), 16), 400)


def test_paths_methods_and_media_types(four):
    assert "no model 'other'" in error_of(ask(four, four_numbers(), "other"), 404)
    assert "no version '2'" in error_of(four.get("/v2/models/scores/versions/2"), 404)
    assert "nothing here" in error_of(four.get("/v1"), 404)
    answer = four.get("/v2/models/scores/infer")
    assert "only POST" in error_of(answer, 405) and answer.headers["allow"] == "POST"
    answer = four.options("/v2/models/scores/infer")
    assert answer.status_code == 204 and answer.headers["allow"] == "POST"
    assert four.head("/v2/health/ready").status_code == 200
    form = four.post("/v2/models/scores/infer", data={"a": "1"})
    assert "must be application/json" in error_of(form, 415)
    assert "Content-Encoding" in error_of(ask(four, four_numbers(), **{"Content-Encoding": "gzip"}), 415)
    assert "headers" in error_of(ask(four, four_numbers(), **{f"X-{n}": "x" * 1000 for n in range(20)}), 431)


def test_a_request_that_is_too_large_is_refused_with_and_without_a_length():
    client, service = client_of(scores(), max_bytes=1000)
    assert "at most 1,000 bytes" in error_of(ask(client, four_numbers(id="x" * 990)), 413)
    answer = client.post("/v2/models/scores/infer", content=(b" " * 300 for _ in range(10)))
    assert "at most 1,000 bytes" in error_of(answer, 413)
    assert service.budget.held == 0
    assert 'millrace_requests_rejected_total{reason="too_large"} 2.0' in client.get("/metrics").text


def test_a_small_request_for_much_memory_is_refused():
    """A picture of 70 bytes may become an example of many more: what it needs is counted first."""
    x = mr.Input((1,), name="x")
    client, service = client_of(predictor_of([x], {"y": mr.broadcast_to(x, (x.shape[0], 10_000))}), max_bytes=4000)
    assert ask(client, {"inputs": [entry("x", [1, 1], "FP32", [1])]}, "model").status_code == 200
    told = {"inputs": [entry("x", [2, 1], "FP32", [1, 2])]}
    assert "send fewer examples" in error_of(ask(client, told, "model"), 413)
    assert service.budget.held == 0


def test_open_sizes_are_counted_as_the_request_has_them_and_have_to_fit_together():
    c = mr.Input((None,), name="c")
    wide = mr.broadcast_to(c[:, :, None], (*c.shape, 10_000))
    client, service = client_of(predictor_of([c], {"y": wide}), max_bytes=4000)
    assert ask(client, {"inputs": [entry("c", [1, 1], "FP32", [1])]}, "model").status_code == 200
    assert "send fewer examples" in error_of(
        ask(client, {"inputs": [entry("c", [1, 2], "FP32", [1, 2])]}, "model"), 413
    )
    assert service.budget.held == 0
    steps = mr.dim("steps")
    c, d = (mr.Input((steps,), name=name) for name in "cd")
    client, _ = client_of(predictor_of([c, d], {"y": c + d}))
    told = {"inputs": [entry("c", [1, 2], "FP32", [1, 2]), entry("d", [1, 3], "FP32", [1, 2, 3])]}
    said = "input 'd' of shape [1, 3]: 3 is no size for steps, which is 2 in the inputs before."
    assert error_of(ask(client, told, "model"), 400) == said


def test_the_lists_of_a_request_are_not_kept_until_it_is_answered(four):
    """Lists of JSON take many times the memory of their array, and many requests may wait."""
    _, service = client_of(scores())
    body = json.dumps(four_numbers()).encode()
    with Share(service.budget) as share:
        asked, (array,) = asyncio.run(service.read(body, None, share, time.monotonic() + 5))
    assert asked.inputs == () and asked.count == 1 and array.tolist() == [[1, 2, 3, 4]]


def test_requests_share_a_budget_of_memory():
    budget = Budget(100)
    with Share(budget) as one, Share(budget) as other:
        one.take(60)
        with pytest.raises(Refusal, match="too many large requests") as refused:
            other.take(50)
        assert refused.value.status == 429
        with pytest.raises(Refusal, match="needs 110 bytes") as refused:
            one.take(50)
        assert refused.value.status == 413
    assert budget.held == 0
    with pytest.raises(Refusal):  # a thread that goes on after the request was answered
        one.take(1)


def test_a_slow_body_and_a_late_answer_have_statuses_of_their_own():
    client, service = client_of(scores(), timeout=0.1)

    async def dripping():
        sent = []

        async def receive():
            await asyncio.sleep(0.05)
            return {"type": "http.request", "body": b" ", "more_body": True}

        async def send(message):
            sent.append(message)

        await service.app(dict(ASKING), receive, send)
        return sent

    start, body = asyncio.run(dripping())
    assert start["status"] == 408 and b"longer than 0.1 s to arrive" in body["body"]
    assert (b"connection", b"close") in start["headers"]
    hold = threading.Event()
    service.batcher.worker.submit(hold.wait, 5)
    try:
        assert "no answer within 0.1 s" in error_of(ask(client, four_numbers()), 504)
    finally:
        hold.set()


def test_a_client_that_does_not_fetch_its_answer_is_cut_off():
    """`close` would keep its connection, and what is written for it, for ever."""
    x = mr.Input((1,), name="x")
    wide = predictor_of([x], {"y": mr.broadcast_to(x, (x.shape[0], 5_000_000))})
    _, service = client_of(wide, timeout=0.5)
    body = json.dumps({"inputs": [entry("x", [1, 1], "FP32", [1])], "parameters": {"binary_data_output": True}})

    async def go(kept):
        bound = listening("127.0.0.1", 0)
        server = uvicorn.Server(config_of(service))
        serving = asyncio.create_task(server.serve(sockets=[bound]))
        _, writer = await asyncio.open_connection(*bound.getsockname())
        writer.write(request("POST", "/v2/models/model/infer", body.encode(), kept))
        while service.metrics.sent._value.get() == 0:
            await asyncio.sleep(0.01)
        started = time.monotonic()
        while server.server_state.connections and time.monotonic() - started < 5:
            await asyncio.sleep(0.02)
        server.should_exit = True
        writer.close()
        await serving
        return time.monotonic() - started

    for kept in ([], [("Connection", "close")]):
        assert asyncio.run(go(kept)) < 3


def test_a_full_queue_answers_429_and_a_server_that_stops_503():
    client, service = client_of(scores(), max_queue=1)
    service.batcher._waiting.append(object())
    answer = ask(client, four_numbers())
    assert "1 requests are waiting" in error_of(answer, 429) and answer.headers["retry-after"] == "1"
    service.batcher._waiting.clear()
    service.stop()
    answer = ask(client, four_numbers())
    assert "stopping" in error_of(answer, 503) and answer.headers["connection"] == "close"
    assert client.get("/v2/health/ready").status_code == client.get("/v2/models/scores/ready").status_code == 503
    assert client.get("/v2/health/live").status_code == 200
    assert service.state == STOPPING


def test_an_answer_that_json_has_no_number_for_is_an_error_and_fine_as_binary():
    x = mr.Input((2,), name="x")
    client, _ = client_of(predictor_of([x], {"y": mr.log(x)}))
    with np.errstate(divide="ignore"):
        told = {"inputs": [entry("x", [2, 2], "FP32", [1, 1, 0, 1])]}
        assert "output 'y' is NaN or infinite for example 1" in error_of(ask(client, told, "model"), 500)
        told["parameters"] = {"binary_data_output": True}
        answer = ask(client, told, "model").content
    assert np.isneginf(np.frombuffer(answer[-16:], "<f4")[2])


def test_a_batch_that_fails_is_answered_and_logged_and_the_next_one_computed(caplog):
    client, service = client_of(scores())
    real, failing = service.served.predictor.__class__.__call__, True

    class Failing(Predictor):
        def __call__(self, *arrays):
            if failing:
                raise RuntimeError("secret")
            return real(self, *arrays)

    service.served.predictor.__class__ = Failing
    error = error_of(ask(client, four_numbers()), 500)
    assert "secret" not in error and "secret" in caplog.text
    failing = False
    assert ask(client, four_numbers()).status_code == 200


def test_what_was_counted_is_told_to_prometheus(four):
    for n in (1, 3):
        ask(four, {"inputs": [entry("x", [n, 4], "FP32", [0] * 4 * n)]})
    ask(four, {})
    told = dict(line.rsplit(" ", 1) for line in four.get("/metrics").text.splitlines() if not line.startswith("#"))
    assert told['millrace_requests_total{endpoint="infer",status="200"}'] == "2.0"
    assert told['millrace_requests_total{endpoint="infer",status="400"}'] == "1.0"
    assert told['millrace_requests_rejected_total{reason="malformed"}'] == "1.0"
    assert told["millrace_examples_total"] == "4.0" and told["millrace_padding_examples_total"] == "1.0"
    assert told["millrace_batch_examples_sum"] == "4.0" and told["millrace_inference_seconds_count"] == "2.0"
    assert float(told["millrace_computing_seconds_total"]) > 0 and float(told["process_resident_memory_bytes"]) > 1e6


# Batches


class Counting(Predictor):
    """Notes the sizes of its batches, and can be held."""

    def __call__(self, *arrays):
        self.__dict__.setdefault("sizes", []).append(len(arrays[0]))
        hold = self.__dict__.get("hold")
        if hold is not None:
            hold.wait(5)
        return super().__call__(*arrays)


def batcher_of(**limits):
    predictor = scores()
    predictor.__class__ = Counting
    limits = Limits(**limits)
    return Batcher(Served.of(predictor), limits, Metrics(limits)), predictor


def test_requests_that_wait_share_batches_of_few_sizes_and_get_their_own_answers():
    batcher, predictor = batcher_of(max_batch=8)
    rng = np.random.default_rng(0)
    given = [rng.random((n, 4)).astype(np.float32) for n in (1, 2, 3, 20, 1, 5, 1)]

    async def together():
        jobs = [batcher.submit([x], len(x)) for x in given]
        return [await job.future for job in jobs]

    for x, (answer,) in zip(given, asyncio.run(together()), strict=True):
        np.testing.assert_array_equal(answer, 2 * x)
    assert sum(predictor.sizes) >= 33 and set(predictor.sizes) <= {1, 2, 4, 8} and len(predictor.sizes) <= 6


def test_a_large_request_lets_others_through():
    batcher, predictor = batcher_of(max_batch=4)
    large, small = np.ones((40, 4), np.float32), np.zeros((1, 4), np.float32)

    async def go():
        first, second = batcher.submit([large], 40), batcher.submit([small], 1)
        await second.future
        return first.left, (await first.future)[0]

    left, answer = asyncio.run(go())
    assert left >= 28  # two batches of 4 at most went before it, and one with it
    np.testing.assert_array_equal(answer, 2 * large)
    assert predictor.sizes == [4] * 9 + [4, 1] or predictor.sizes == [4] * 10 + [1]


def test_a_free_worker_waits_for_nobody_and_a_busy_one_gathers_what_comes():
    batcher, predictor = batcher_of(max_batch=4)
    predictor.hold = threading.Event()
    x = np.zeros((1, 4), np.float32)

    async def go():
        first = batcher.submit([x], 1)
        await asyncio.sleep(0.05)
        assert predictor.sizes == [1] and batcher.waiting == 0
        later = []
        for _ in range(3):
            later.append(batcher.submit([x], 1))
            await asyncio.sleep(0)
        predictor.hold.set()
        await asyncio.gather(*(job.future for job in (first, *later)))

    asyncio.run(go())
    assert predictor.sizes == [1, 4]  # of which one fills up


def test_what_nobody_waits_for_any_more_is_not_computed():
    batcher, predictor = batcher_of(max_batch=1)
    predictor.hold = threading.Event()
    x = np.zeros((1, 4), np.float32)

    async def go():
        first, second, third = (batcher.submit([x], 1) for _ in range(3))
        await asyncio.sleep(0.05)
        second.fail(Refusal(504, "late", "late"))
        batcher.forget(second)
        assert batcher.waiting == 1
        predictor.hold.set()
        await asyncio.gather(first.future, third.future)
        with pytest.raises(Refusal, match="late"):
            await second.future

    asyncio.run(go())
    assert predictor.sizes == [1, 1]


def test_a_client_that_goes_is_not_computed_for():
    _, service = client_of(scores(), max_batch=1)
    service.served.predictor.__class__ = Counting
    predictor = service.served.predictor
    predictor.hold = threading.Event()

    async def request(leaves):
        body = json.dumps(four_numbers()).encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        sent = []

        async def receive():
            if messages:
                return messages.pop()
            await (asyncio.sleep(0.05) if leaves else asyncio.Event().wait())
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await service.app(dict(ASKING), receive, send)
        return sent[0]["status"]

    async def go():
        waiting = [asyncio.create_task(request(leaves)) for leaves in (False, True, False)]
        await asyncio.sleep(0.2)
        predictor.hold.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(go()) == [200, 499, 200]
    assert predictor.sizes == [1, 1]


def test_a_graph_for_a_fixed_batch_is_filled_up_and_one_without_a_batch_gets_each_request_whole():
    x = mr.Input((4,), batch_size=3, name="x")
    types = [TensorType("float32", (3, 4)), TensorType("float32", (3,))]
    ports = [type("Port", (), {"type": t})() for t in types]
    assert batch_of(ports) == (3,) and batch_of(ports[:1]) == (3,)
    ports[1].type = TensorType("float32", (4,))
    assert batch_of(ports) is None
    ports[1].type = TensorType("float32", ())
    assert batch_of(ports) is None
    client, service = client_of(predictor_of([x], {"y": x + 1.0}))
    assert client.get("/v2/models/model").json()["inputs"][0]["shape"] == [-1, 4]
    service.warm()
    for count in (1, 3, 7):
        data = np.arange(4.0 * count).tolist()
        answer = ask(client, {"inputs": [entry("x", [count, 4], "FP32", data)]}, "model").json()["outputs"][0]
        assert answer["data"] == [n + 1 for n in data]


def test_a_total_over_the_batch_is_of_its_own_request_alone():
    x = mr.Input((2,), name="x")
    client, service = client_of(predictor_of([x], {"total": mr.sum(x)}))
    assert service.served.batch is None
    fixed = mr.Input((2,), batch_size=3, name="x")
    Service(Served.of(predictor_of([fixed], {"total": mr.sum(fixed)})), Limits()).warm()
    data = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    told = {"inputs": [entry("x", [3, 2], "FP32", data)]}
    assert ask(client, told, "model").json()["outputs"][0] == entry("total", [], "FP32", [21.0])


# Before it starts


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"max_batch": 0}, "--max-batch must be a whole number of at least 1"),
        ({"max_batch": 10_000}, "--max-batch must be at most 4,096"),
        ({"max_queue": 0}, "--max-queue"),
        ({"max_bytes": 0}, "--max-bytes"),
        ({"max_pixels": 0}, "--max-pixels"),
        ({"timeout": 0}, "--timeout must be a number above 0"),
        ({"timeout": float("nan")}, "--timeout"),
    ],
)
def test_limits_that_make_no_sense_are_refused(option, said):
    with pytest.raises(ArgumentError, match=said):
        Limits(**option)


def test_batches_come_in_powers_of_two_up_to_the_largest():
    assert Limits(max_batch=1).sizes == (1,) and Limits(max_batch=32).sizes == (1, 2, 4, 8, 16, 32)
    assert Limits(max_batch=12).sizes == (1, 2, 4, 8, 12)


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "x" * 300])
def test_names_that_an_address_cannot_hold_are_refused(name):
    with pytest.raises(ArgumentError, match="--name"):
        Served.of(scores(), name)


def test_the_request_to_try_is_the_smallest_that_the_model_answers(four, digits):
    for client, predictor in ((four, scores(classes=tuple("abcd"))), (client_of(digits)[0], digits)):
        command = try_it(Served.of(predictor), "http://here")
        body = command.partition(" -d '")[2].removesuffix("'")
        answer = client.post(f"/v2/models/{predictor.about.name}/infer", content=body)
        assert answer.status_code == 200 and len(answer.json()["outputs"][0]["data"]) == 3
