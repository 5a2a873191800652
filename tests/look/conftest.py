"""A small network on the digits, its page on a server, and a browser that looks at it."""

import http.client
import json
import shutil
import threading

import pytest

import millrace as mr
from millrace.data.datasets import digits
from millrace.look.looking import Looking
from millrace.look.server import LookServer
from millrace.look.subject import Subject
from millrace.look.views import Views


@pytest.fixture(scope="session")
def subject():
    """Two convolutions, pooling and two dense layers, trained for a second."""
    data = digits()
    mr.layers.set_seed(0)
    model = mr.Sequential(
        [
            mr.Input((8, 8, 1), name="image"),
            mr.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1"),
            mr.layers.Conv2D(6, 3, strides=2, groups=2, activation="tanh", name="conv2"),
            mr.layers.BatchNormalization(name="norm"),
            mr.layers.MaxPooling2D(2, strides=1, name="pool"),
            mr.layers.Dropout(0.2, name="dropout"),
            mr.layers.Flatten(name="flatten"),
            mr.layers.Dense(12, "relu", name="hidden"),
            mr.layers.Dense(10, "softmax", name="answer"),
        ]
    )
    model.compile(mr.optimizers.Adam(0.01), "sparse_categorical_crossentropy", engine="numpy")
    model.fit(data.x_train[:512], data.y_train[:512], batch_size=64, epochs=3, verbose=0)
    truth = data.classes[data.y_validation[0]]
    return Subject(
        "tiny", model, data.x_validation[0], "digits", data.classes, (), truth, "tiny.safetensors", held=True
    )


@pytest.fixture(scope="session")
def looking(subject):
    return Looking(subject)


@pytest.fixture(scope="session")
def calls(looking):
    """What each layer gives, by name."""
    return {call.name: call for call in looking.plain}


@pytest.fixture(scope="session")
def served(looking):
    """Start the page's server in a language; all are closed at the end."""
    servers = {}

    def serve(language="en"):
        if language not in servers:
            servers[language] = LookServer(Views(looking, language))
            threading.Thread(target=servers[language].serve_forever, daemon=True).start()
        return servers[language]

    yield serve
    for server in servers.values():
        server.shutdown()
        server.server_close()


class Client:
    """Requests to a server, as a browser or as something else would make them."""

    def __init__(self, server):
        self.port = server.server_address[1]

    def send(self, method, path, body=None, host=None, **headers):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"Host": host or f"127.0.0.1:{self.port}", **headers}
            link.request(method, path, body, headers)
            reply = link.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            link.close()

    def ask(self, name, /, **question):
        """(status, answer) of a question."""
        body = json.dumps(question)
        status, _, content = self.send("POST", f"/ask/{name}", body, **{"Content-Type": "application/json"})
        return status, json.loads(content)


@pytest.fixture(scope="session")
def client(served):
    return Client(served())


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; without one the tests are skipped, and the end of the test run says so.

    It ends with its module: as long as it is there, an event loop runs in this thread, and no test can start its own.
    """
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("the page is not tried: needs Chromium, apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()
