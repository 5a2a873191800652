"""What a server counts, for Prometheus.

Source: Prometheus, metric and label naming (base units, `_total` for counters).
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from millrace.inference.server.limits import Limits

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """A registry of its own, so that several servers in one process count apart."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, limits: Limits):
        own = self.registry = CollectorRegistry()
        ProcessCollector(registry=own)  # memory, processor time and open files, on Linux
        self.requests = Counter(
            "millrace_requests", "Requests that were answered.", ["endpoint", "status"], registry=own
        )
        self.seconds = Histogram(
            "millrace_inference_seconds", "From an inference request's first line to its answer.", buckets=SECONDS,
            registry=own,
        )  # fmt: skip
        self.rejected = Counter(
            "millrace_requests_rejected", "Requests that were answered with an error.", ["reason"], registry=own
        )
        self.waiting = Gauge("millrace_queue_requests", "Requests that wait to be computed.", registry=own)
        self.held = Gauge("millrace_held_bytes", "Memory that requests under way hold.", registry=own)
        self.batches = Histogram(
            "millrace_batch_examples", "Examples that were computed at once.", registry=own,
            buckets=[float(n) for n in limits.sizes],
        )  # fmt: skip
        self.examples = Counter("millrace_examples", "Examples that were computed.", registry=own)
        self.padding = Counter("millrace_padding_examples", "Examples that only filled batches up.", registry=own)
        self.computing = Counter("millrace_computing_seconds", "Seconds that batches took to compute.", registry=own)
        self.received = Counter("millrace_received_bytes", "Bytes of the bodies of inference requests.", registry=own)
        self.sent = Counter(
            "millrace_sent_bytes", "Bytes of the bodies of answers to inference requests.", registry=own
        )

    def page(self) -> bytes:
        """What Prometheus fetches."""
        return generate_latest(self.registry)
