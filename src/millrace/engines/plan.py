"""What is decided for a whole program: options of the compiler, from platform, versions and operations alone.

Nothing here is timed at run time, so the same program on the same platform and versions gets the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from millrace.ir.core import Op
from millrace.ir.graph import Graph
from millrace.ir.text import Body

YNNPACK_OPTION = "xla_cpu_experimental_ynn_fusion_type"

# jaxlib versions whose YNNPACK fusions compute wrong results or crash on CPUs (jax issues 39103, 39257, 40412).
UNSAFE_YNNPACK = ("0.10.2", "0.11.0")

CONVOLUTIONS = {"Convolution", "ConvolutionInputGradient", "ConvolutionKernelGradient"}


@dataclass
class Plan:
    """Compiler options, and why each was chosen."""

    options: dict[str, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)


def operations(graph: Graph) -> Iterator[Op]:
    """Every operation of a graph and of the bodies of its loops."""
    for node in graph.nodes:
        yield node.op
        for value in vars(node.op).values():
            if isinstance(value, Body):
                yield from operations(value.graph)


def plan(graph: Graph, platform: str, jaxlib_version: str) -> Plan:
    """The plan for a graph on a platform ("cpu", "gpu", "tpu")."""
    chosen = Plan()
    if platform != "cpu":
        return chosen
    if jaxlib_version in UNSAFE_YNNPACK:
        chosen.options[YNNPACK_OPTION] = ""
        chosen.reasons.append(f"YNNPACK off: jaxlib {jaxlib_version} computes wrong results with it")
    elif any(op.name in CONVOLUTIONS for op in operations(graph)):
        # Float32 convolutions run 3 to 13 times faster on Eigen (2 cores, Zen 3; 0.8 to 2.9 times on Zen 5). Matrix
        # products stay with YNNPACK: Eigen's by a transposed matrix, which every dense layer's backward pass has,
        # take 2 to 11 times as long. AlexNet's step, batch 32: 0.46 s so, 0.70 s with both on Eigen (Zen 5).
        chosen.options[YNNPACK_OPTION] = "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"
        chosen.reasons.append(
            "YNNPACK for matrix products only: float32 convolutions are up to 13 times faster on Eigen"
        )
    return chosen
