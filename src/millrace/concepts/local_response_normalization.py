"""`local-response-normalization`: the AlexNet paper's formula on numbers, and how channels compete by it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from millrace import functional as mr
from millrace.concepts.concept import Concept, Finding
from millrace.concepts.figures import line_figure
from millrace.explain.charts import Line
from millrace.explain.pages import Code, Listing, Math
from millrace.words import words

N, K, ALPHA, BETA = 5, 2.0, 1e-4, 0.75
CHANNELS = np.array([0, 30, 100, 20, 0, 0, 100, 0], np.float32)
CHOSEN = 3  # the channel whose sum is written out
RIVALS = (0, 50, 100, 200, 400)


def normalized(channels: np.ndarray) -> np.ndarray:
    """What the operation makes of the channels of one place."""
    return np.asarray(mr.local_response_normalization(channels, N, K, ALPHA, BETA))


def beside(rival: float) -> float:
    """What is left of a channel at 50 beside a rival."""
    return float(normalized(np.array([0, 50, rival, 0, 0], np.float32))[1])


def experiment(language: str, say: Callable[[str], None]) -> Finding:
    """The formula channel by channel, then one channel beside ever stronger neighbours."""
    table = words("concepts", language)["local-response-normalization"]
    made = normalized(CHANNELS)
    window = CHANNELS[CHOSEN - N // 2 : CHOSEN + N // 2 + 1]
    total = float((window**2).sum())
    bracket = K + ALPHA * total
    squares = " + ".join(f"{x:g}^2" for x in window)
    code = (
        f"b[{CHOSEN}] = a[{CHOSEN}] / (k + alpha * ({squares}))^beta\n"
        f"     = {CHANNELS[CHOSEN]:g} / ({K:g} + {ALPHA:g} * {total:,.0f})^{BETA:g}\n"
        f"     = {CHANNELS[CHOSEN]:g} / {bracket:.4g}^{BETA:g}\n"
        f"     = {CHANNELS[CHOSEN]:g} / {bracket**BETA:.4f}\n"
        f"     = {CHANNELS[CHOSEN] / bracket**BETA:.4f}"
    )
    rows = [
        [str(n), f"{a:g}", f"{b:.2f}", f"{b / a:.3f}" if a else ""]
        for n, (a, b) in enumerate(zip(CHANNELS, made, strict=True))
    ]
    left = [beside(rival) for rival in RIVALS]
    alone = float(normalized(np.array([1.0], np.float32))[0])
    by_hand = float(CHANNELS[CHOSEN] / bracket**BETA)
    falls = all(a > b for a, b in pairwise(left))
    return Finding(
        "seen" if falls and abs(by_hand - float(made[CHOSEN])) < 1e-4 else "unseen",
        {
            "by_hand": by_hand,
            "made": float(made[CHOSEN]),
            "alone": alone,
            "beside_none": left[0],
            "beside_most": left[-1],
            "rival": RIVALS[-1],
            "share": left[-1] / left[0],
            "far": float(made[6] / CHANNELS[6]),
            "near": float(made[2] / CHANNELS[2]),
        },
        [
            Code(code),
            Listing([table[f"column_{n}"] for n in range(4)], rows),
            line_figure(
                table["figure"], [Line(table["line"], list(RIVALS), left)], table["rival"], table["left"], language
            ),
        ],
    )


LOCAL_RESPONSE_NORMALIZATION = Concept(
    "local-response-normalization",
    experiment,
    see=("normalization-against-regularization", "LocalResponseNormalization", "convolution"),
    also=("lrn", "response-normalization", "lateral-inhibition"),
    formulas=(
        Math(
            "b[i] = a[i] / (k + alpha * sum_{j = i - n/2 ... i + n/2} a[j]^2)^beta",
            r"b_i = \frac{a_i}{\left(k + \alpha \sum_{j=\max(0,\,i-n/2)}^{\min(N-1,\,i+n/2)} a_j^2\right)^{\beta}}",
        ),
    ),
)
