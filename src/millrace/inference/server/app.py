"""The endpoints of the Open Inference Protocol, and /metrics.

Source: Open Inference Protocol (REST); answers with an error are {"error": "..."} with a fitting status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from millrace import __version__
from millrace.inference.server.batching import LOG, Batcher, Job
from millrace.inference.server.examples import arrays_of
from millrace.inference.server.limits import HEADERS, Budget, Limits, Refusal, Share, shown
from millrace.inference.server.metrics import Metrics
from millrace.inference.server.reply import reply
from millrace.inference.server.request import Asked, check_content_type, header_length, read_request
from millrace.inference.server.served import VERSION, Served
from millrace.inference.server.tensors import TEXT

T = TypeVar("T")
HEADER = "Inference-Header-Content-Length"
SMALL = 64_000  # bytes that are read on the event loop itself; more would keep the others waiting
GONE = 499  # the client has closed the connection; nobody sees it but the metrics
STARTING, READY, STOPPING = "starting", "ready", "stopping"
AGAIN = {"Retry-After": "1"}


class Service:
    """The server but for its socket: `service.app` is an ASGI application."""

    def __init__(self, served: Served, limits: Limits):
        self.served, self.limits = served, limits
        self.metrics = Metrics(limits)
        self.batcher = Batcher(served, limits, self.metrics)
        self.budget = Budget(limits.held_bytes)
        self.state = STARTING
        # two threads: decoding frees the interpreter, and more would only hold more pictures in memory at once
        self.readers = ThreadPoolExecutor(2, thread_name_prefix="millrace-read")
        self.metrics.held.set_function(lambda: self.budget.held)
        model = "/v2/models/{name}"
        versioned = model + "/versions/{version}"
        self.app = Starlette(
            routes=[
                Route("/v2", self.about),
                Route("/v2/health/live", self.live),
                Route("/v2/health/ready", self.ready),
                *(Route(base, self.model) for base in (model, versioned)),
                *(Route(f"{base}/ready", self.model_ready) for base in (model, versioned)),
                *(Route(f"{base}/infer", self.infer, methods=["POST"]) for base in (model, versioned)),
                Route("/metrics", self.measured),
            ],
            exception_handlers={HTTPException: self.on_http, Refusal: self.on_refusal, Exception: self.on_fault},  # type: ignore[dict-item]
        )
        self.app.router.redirect_slashes = False  # a redirect would name whatever host the client said
        self.app.add_middleware(Counted, metrics=self.metrics)

    def warm(self) -> None:
        """Compute a batch of each size, so that no request waits for a program to be compiled."""
        if not self.served.has_open_sizes:
            for size in self.batcher.sizes or (1,):
                self.served.warm(size)

    def stop(self) -> None:
        """Take no new requests; those under way go on."""
        self.state = STOPPING

    def close(self) -> None:
        self.batcher.close()
        self.readers.shutdown(wait=False, cancel_futures=True)

    # The endpoints that tell

    async def about(self, _: Request) -> Response:
        extensions = ["binary_tensor_data", "classification", "parameters"]
        models = [self.served.name]  # an addition: the protocol has no way to ask for it
        return JSONResponse({"name": "millrace", "version": __version__, "extensions": extensions, "models": models})

    async def live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, _: Request) -> Response:
        fine = self.state == READY
        return JSONResponse({"ready": fine}, 200 if fine else 503)

    async def model(self, request: Request) -> Response:
        self.check_model(request)
        return JSONResponse(self.served.metadata())

    async def model_ready(self, request: Request) -> Response:
        self.check_model(request)
        fine = self.state == READY
        return JSONResponse({"name": self.served.name, "ready": fine}, 200 if fine else 503)

    async def measured(self, _: Request) -> Response:
        return Response(self.metrics.page(), media_type=self.metrics.content_type)

    def check_model(self, request: Request) -> None:
        """Raises Refusal (404) for another model or version."""
        name, version = request.path_params["name"], request.path_params.get("version", VERSION)
        if name != self.served.name:
            raise Refusal(404, "not_found", f"there is no model {shown(name)} here: the model is {self.served.name}.")
        if version != VERSION:
            raise Refusal(
                404, "not_found", f"there is no version {shown(version)} of {name}: the version is {VERSION}."
            )

    # Inference

    async def infer(self, request: Request) -> Response:
        started = time.perf_counter()
        self.check_model(request)
        if self.state != READY:
            raise Refusal(503, self.state, f"the server is {self.state}.")
        try:
            with Share(self.budget) as share:
                job, asked, deadline = await self.admitted(request, share)
                outputs = await self.answered(request, job, deadline)
                response = await self.written(asked, outputs, deadline)
        except ClientDisconnect:
            raise Refusal(GONE, "gone", "the client has closed the connection.") from None
        except asyncio.CancelledError:  # the time for a graceful stop is over
            raise Refusal(503, "stopping", "the server is stopping.") from None
        self.metrics.seconds.observe(time.perf_counter() - started)
        return response

    async def admitted(self, request: Request, share: Share) -> tuple[Job, Asked, float]:
        """Read, check and queue a request: its job, and until when it is to be answered.  Raises Refusal."""
        header = header_length(request.headers.get(HEADER))
        check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"), header)
        body = await self.body(request, share)
        deadline = time.monotonic() + self.limits.timeout
        self.batcher.check_room()  # before work is done for it
        asked, arrays = await self.read(body, header, share, deadline)
        return self.batcher.submit(arrays, asked.count), asked, deadline

    async def body(self, request: Request, share: Share) -> bytes:
        """A request's body.  Raises Refusal: 413 where it is too large, 408 where it takes too long."""
        length, most = request.headers.get("content-length", "0"), self.limits.max_bytes
        if not length.isdigit() or len(length) > 18 or int(length) > most:
            raise self.too_large()
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.limits.timeout):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > most:
                        raise self.too_large()
                    share.take(len(chunk))
                    chunks.append(chunk)
        except TimeoutError:
            raise Refusal(408, "slow", f"the request took longer than {self.limits.timeout:g} s to arrive.") from None
        self.metrics.received.inc(size)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def too_large(self) -> Refusal:
        return Refusal(413, "too_large", f"a request has at most {self.limits.max_bytes:,} bytes.")

    async def read(self, body: bytes, header: int | None, share: Share, deadline: float) -> tuple[Asked, list[Any]]:
        """What a request asks for, and its arrays; large ones and pictures are read on another thread."""

        def late() -> bool:
            return time.monotonic() > deadline

        def both() -> tuple[Asked, list[Any]]:
            asked = read_request(body, header, self.served)
            arrays = arrays_of(asked, self.served, self.limits, share, late)
            return replace(asked, inputs=()), arrays  # lists of JSON take many times the memory of their array

        if len(body) <= SMALL and TEXT.encode() not in body:
            return both()
        return await self.within(asyncio.get_running_loop().run_in_executor(self.readers, both), deadline)

    async def answered(self, request: Request, job: Job, deadline: float) -> list[Any]:
        """A job's outputs; it is given up where they are late, or the client goes.  Raises Refusal."""
        loop = asyncio.get_running_loop()
        late = loop.call_later(deadline - time.monotonic(), job.fail, self.late())
        gone = loop.create_task(left(request))
        gone.add_done_callback(lambda _: job.fail(Refusal(GONE, "gone", "the client has closed the connection.")))
        try:
            return await job.future
        finally:
            late.cancel()
            gone.cancel()
            self.batcher.forget(job)  # where it is given up

    async def written(self, asked: Asked, outputs: list[Any], deadline: float) -> Response:
        """The answer; a large one is written on another thread."""
        if sum(array.nbytes for array in outputs) <= SMALL:
            body, header = reply(asked, outputs, self.served)
        else:
            loop = asyncio.get_running_loop()
            body, header = await self.within(
                loop.run_in_executor(self.readers, reply, asked, outputs, self.served), deadline
            )
        self.metrics.sent.inc(len(body))
        if header is None:
            return Response(body, media_type="application/json")
        return Response(body, media_type="application/octet-stream", headers={HEADER: str(header)})

    async def within(self, work: Awaitable[T], deadline: float) -> T:
        """What a thread makes.  Raises Refusal (504) where it takes too long; the thread ends by itself."""
        try:
            return await asyncio.wait_for(work, max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise self.late() from None

    def late(self) -> Refusal:
        return Refusal(504, "late", f"there was no answer within {self.limits.timeout:g} s.")

    # Answers other than 200

    async def on_refusal(self, request: Request, refusal: Refusal) -> Response:
        self.metrics.rejected.labels(refusal.reason).inc()
        headers = dict(AGAIN) if refusal.status in (429, 503) else {}
        if refusal.status in (408, 503):  # what would still come on this connection is not read
            headers["Connection"] = "close"
        return JSONResponse({"error": refusal.message}, refusal.status, headers)

    async def on_http(self, request: Request, error: HTTPException) -> Response:
        allowed = dict(error.headers or {})
        if error.status_code == 405 and request.method == "OPTIONS":
            return Response(status_code=204, headers=allowed)
        reason = {404: "not_found", 405: "method"}.get(error.status_code, "http")
        self.metrics.rejected.labels(reason).inc()
        told = {404: "there is nothing here: /v2 is the Open Inference Protocol, /metrics what is counted.",
                405: f"{shown(request.method)} is not allowed here, only {allowed.get('Allow', '')}."}  # fmt: skip
        return JSONResponse({"error": told.get(error.status_code, error.detail)}, error.status_code, allowed)

    async def on_fault(self, request: Request, error: Exception) -> Response:
        self.metrics.rejected.labels("failed").inc()
        LOG.error("a request failed", exc_info=error)
        return JSONResponse({"error": "the server failed on this request; its log says why."}, 500)


async def left(request: Request) -> None:
    """Ends when the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Counted:
    """ASGI middleware that counts requests by endpoint and status, and refuses those with too many headers."""

    def __init__(self, app: Callable[..., Awaitable[None]], metrics: Metrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status = 500

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            # h11 limits headers only while they are incomplete: those that come all at once pass it
            if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADERS:
                self.metrics.rejected.labels("too_large").inc()
                told = {"error": f"a request has at most {HEADERS:,} bytes of headers."}
                await JSONResponse(told, 431, {"Connection": "close"})(scope, receive, noting)
            else:
                await self.app(scope, receive, noting)
        finally:
            self.metrics.requests.labels(endpoint(scope["path"]), str(status)).inc()


def endpoint(path: str) -> str:
    """Which of a few endpoints a path is, so that no client can make names of its own in the metrics."""
    last = path.rpartition("/")[2]
    if path.startswith("/v2/models/"):
        return last if last in ("infer", "ready") else "model"
    return {"/v2": "about", "/v2/health/live": "live", "/v2/health/ready": "ready", "/metrics": "metrics"}.get(
        path, "other"
    )
