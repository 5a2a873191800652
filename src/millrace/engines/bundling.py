"""Lowers a program with its routines in bundles, where it is small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from millrace.engines import native
from millrace.engines.bundle_call import BundleCall
from millrace.engines.bundles import Bundle, arranged
from millrace.engines.devices import Devices
from millrace.engines.low import Low
from millrace.engines.xla import jax
from millrace.ir.core import Value
from millrace.ir.graph import Graph
from millrace.ir.state import Variable


class BundlingLow(Low):
    """What an operation's `lower` is given; a program's own operations that have routines it brings together.

    bundles: of each bundle's key its steps, with the numbers of the nodes that they compute.
    """

    def __init__(self, platform: str, devices: Devices | None = None):
        super().__init__(platform, devices)
        self.bundles: dict[int, list[tuple[str, list[int]]]] = {}

    def values(self, graph: Graph, results: dict[Value, Any], state: Mapping[Variable, Any]) -> list[Any]:
        if self.node is not None or not self.has_routine():  # within an operation; or there are none
            return super().values(graph, results, state)
        numbers = {node: number for number, node in enumerate(graph.nodes)}
        for unit in arranged(graph, self.platform):
            if isinstance(unit, Bundle):
                call = BundleCall(unit, graph, self.platform, numbers[unit.nodes[-1]])
                self.bundles[call.key] = [(step.name, [numbers[node] for node in step.nodes]) for step in call.steps]
                self.run_bundle(call, results)
            else:
                self.lower_node(unit, numbers[unit], results, state)
        return [results[value] for value in graph.outputs]

    def run_bundle(self, call: BundleCall, results: dict[Value, Any]) -> None:
        """Compute what a bundle makes."""
        self.notes += call.recorder.notes
        given = [results[x] if x.dtype == "float32" else results[x].astype(np.float32) for x in call.bundle.given]
        with jax.named_scope(f"n{call.key}"):
            made = native.call("bundle", call.shapes, given, call.how, call.over)
        arrays = {call.spots[x]: array for x, array in zip(call.bundle.given, given, strict=True)}
        arrays |= dict(zip(call.results, made, strict=False))
        for value in call.bundle.made:
            array = arrays[call.spots[value].root].reshape(value.shape)
            results[value] = array if value.dtype == "float32" else array != 0


def has_bundles(graph: Graph, platform: str) -> bool:
    """Whether anything in a graph whose sizes are known would be bundled."""
    return Low(platform).has_routine() and any(isinstance(unit, Bundle) for unit in arranged(graph, platform))
