r"""The formulas of layers as textbooks write them: i, f, o and c~ of an LSTM, Q, K and V of attention.

A line is text that Python can read, and the same for a typesetter. Two marks are no Python: `c~` for a proposal, `h'`
for what is handed on. `x` and the outputs are called as on the layer's page, the rest is bound by the lines of `bound`:
which part of which weight, with the settings of the page's example. A name with [j] on the left is made for each j.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Textbook:
    """A layer's formula: lines of text and LaTeX; what binds its symbols to weights and settings; a note's key.

    note: a key of the texts' table "textbook".
    """

    lines: tuple[tuple[str, str], ...]
    bound: tuple[str, ...]
    note: str


SIMPLE_RNN = Textbook(
    (("h' = tanh(x @ W + h @ U + b)", r"h_t = \tanh\left(x_t W + h_{t-1} U + b\right)"),),
    ("W, U, b = kernel, recurrent_kernel, bias",),
    "recurrent",
)

LSTM = Textbook(
    (
        ("i = sigmoid(x @ W_i + h @ U_i + b_i)", r"i_t = \sigma\left(x_t W_i + h_{t-1} U_i + b_i\right)"),
        ("f = sigmoid(x @ W_f + h @ U_f + b_f)", r"f_t = \sigma\left(x_t W_f + h_{t-1} U_f + b_f\right)"),
        ("o = sigmoid(x @ W_o + h @ U_o + b_o)", r"o_t = \sigma\left(x_t W_o + h_{t-1} U_o + b_o\right)"),
        ("c~ = tanh(x @ W_c + h @ U_c + b_c)", r"\tilde{c}_t = \tanh\left(x_t W_c + h_{t-1} U_c + b_c\right)"),
        ("c' = f * c + i * c~", r"c_t = f_t \odot c_{t-1} + i_t \odot \tilde{c}_t"),
        ("h' = o * tanh(c')", r"h_t = o_t \odot \tanh\left(c_t\right)"),
    ),
    (
        "W_i, W_f, W_c, W_o = split(kernel, 4, axis=-1)",
        "U_i, U_f, U_c, U_o = split(recurrent_kernel, 4, axis=-1)",
        "b_i, b_f, b_c, b_o = split(bias, 4, axis=-1)",
    ),
    "recurrent",
)

GRU = Textbook(
    (
        ("z = sigmoid(x @ W_z + b_z + h @ U_z + d_z)", r"z_t = \sigma\left(x_t W_z + b_z + h_{t-1} U_z + d_z\right)"),
        ("r = sigmoid(x @ W_r + b_r + h @ U_r + d_r)", r"r_t = \sigma\left(x_t W_r + b_r + h_{t-1} U_r + d_r\right)"),
        (
            "h~ = tanh(x @ W_h + b_h + r * (h @ U_h + d_h))",
            r"\tilde{h}_t = \tanh\left(x_t W_h + b_h + r_t \odot \left(h_{t-1} U_h + d_h\right)\right)",
        ),
        ("h' = z * h + (1 - z) * h~", r"h_t = z_t \odot h_{t-1} + \left(1 - z_t\right) \odot \tilde{h}_t"),
    ),
    (
        "W_z, W_r, W_h = split(kernel, 3, axis=-1)",
        "U_z, U_r, U_h = split(recurrent_kernel, 3, axis=-1)",
        "b_z, b_r, b_h = split(bias[0], 3, axis=-1)",
        "d_z, d_r, d_h = split(bias[1], 3, axis=-1)",
    ),
    "recurrent",
)

ATTENTION = Textbook(
    (
        ("weights = softmax(Q @ K.T)", r"A = \operatorname{softmax}\left(Q K^{\top}\right)"),
        ("y = weights @ V", r"y = A V"),
    ),
    ("Q, K, V = query, value, value",),
    "attention",
)

ADDITIVE = Textbook(
    (
        (
            "score[i, j] = sum(v * tanh(Q[i] + K[j]))",
            r"e_{i,j} = v \cdot \tanh\left(Q_i + K_j\right)",
        ),
        ("weights = softmax(score)", r"A = \operatorname{softmax}\left(e\right)"),
        ("y = weights @ V", r"y = A V"),
    ),
    ("Q, K, V = query, value, value", "v = scale"),
    "attention",
)

HEADS = Textbook(
    (
        ("Q[j] = query @ W_Q[j] + b_Q[j]", r"Q_j = \mathrm{query} \, W^Q_j + b^Q_j"),
        ("K[j] = value @ W_K[j] + b_K[j]", r"K_j = \mathrm{value} \, W^K_j + b^K_j"),
        ("V[j] = value @ W_V[j] + b_V[j]", r"V_j = \mathrm{value} \, W^V_j + b^V_j"),
        (
            "weights[j] = softmax(Q[j] @ K[j].T / sqrt(d))",
            r"A_j = \operatorname{softmax}\left(\frac{Q_j K_j^{\top}}{\sqrt{d}}\right)",
        ),
        ("head[j] = weights[j] @ V[j]", r"\mathrm{head}_j = A_j V_j"),
        (
            "y = concat(head[0], head[1]) @ W_O + b_O",
            r"y = \operatorname{concat}\left(\mathrm{head}_0, \mathrm{head}_1\right) W^O + b^O",
        ),
    ),
    (
        "W_Q = [query_kernel[:, j] for j in range(2)]",
        "W_K = [key_kernel[:, j] for j in range(2)]",
        "W_V = [value_kernel[:, j] for j in range(2)]",
        "b_Q, b_K, b_V = query_bias, key_bias, value_bias",
        "W_O, b_O = reshape(attention_output_kernel, (8, 8)), attention_output_bias",
        "d = 4",
    ),
    "heads",
)

BATCH = Textbook(
    (
        ("mu = mean(x, axis=(0, 1, 2))", r"\mu = \frac{1}{m} \sum_{n=1}^{m} x_n"),
        (
            "sigma2 = mean((x - mu)**2, axis=(0, 1, 2))",
            r"\sigma^2 = \frac{1}{m} \sum_{n=1}^{m} \left(x_n - \mu\right)^2",
        ),
        ("x_hat = (x - mu) / sqrt(sigma2 + epsilon)", r"\hat{x} = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}"),
        ("y = gamma * x_hat + beta", r"y = \gamma \odot \hat{x} + \beta"),
    ),
    ("epsilon = 0.001",),
    "batch",
)

LAYER = Textbook(
    (
        ("mu = mean(x, axis=-1, keepdims=True)", r"\mu = \frac{1}{D} \sum_{k=1}^{D} x_k"),
        (
            "sigma2 = mean((x - mu)**2, axis=-1, keepdims=True)",
            r"\sigma^2 = \frac{1}{D} \sum_{k=1}^{D} \left(x_k - \mu\right)^2",
        ),
        ("x_hat = (x - mu) / sqrt(sigma2 + epsilon)", r"\hat{x} = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}"),
        ("y = gamma * x_hat + beta", r"y = \gamma \odot \hat{x} + \beta"),
    ),
    ("epsilon = 0.001",),
    "example",
)

GROUP = Textbook(
    (
        ("u = reshape(x, (B, H, W, G, C // G))", r"u = x \text{ [B, H, W, G, C / G]}"),
        ("mu = mean(u, axis=(1, 2, 4), keepdims=True)", r"\mu = \frac{1}{m} \sum_{n=1}^{m} u_n"),
        (
            "sigma2 = mean((u - mu)**2, axis=(1, 2, 4), keepdims=True)",
            r"\sigma^2 = \frac{1}{m} \sum_{n=1}^{m} \left(u_n - \mu\right)^2",
        ),
        (
            "x_hat = reshape((u - mu) / sqrt(sigma2 + epsilon), (B, H, W, C))",
            r"\hat{x} = \frac{u - \mu}{\sqrt{\sigma^2 + \epsilon}}",
        ),
        ("y = gamma * x_hat + beta", r"y = \gamma \odot \hat{x} + \beta"),
    ),
    ("B, H, W, C = shape(x)", "G = 4", "epsilon = 0.001"),
    "groups",
)

RMS = Textbook(
    (
        (
            "rms = sqrt(mean(x**2, axis=-1, keepdims=True) + epsilon)",
            r"\mathrm{rms} = \sqrt{\frac{1}{D} \sum_{k=1}^{D} x_k^2 + \epsilon}",
        ),
        ("y = gamma * x / rms", r"y = \gamma \odot \frac{x}{\mathrm{rms}}"),
    ),
    ("epsilon = 1e-6",),
    "example",
)

RESPONSE = Textbook(
    (
        (
            "y[i] = x[i] / (k + alpha * sum(x[j]**2 for j in range(max(0, i - n//2), min(N, i + n//2 + 1))))**beta",
            r"y_i = \frac{x_i}{\left(k + \alpha \sum_{j=\max(0, i - n/2)}^{\min(N-1, i + n/2)} x_j^2\right)^{\beta}}",
        ),
    ),
    ("n, k, alpha, beta = 5, 0.05, 1.0, 0.75",),
    "channels",
)

MASKED = r"y = \frac{x \odot m}{1 - \mathrm{rate}}"
DROPOUT = Textbook(
    (
        ("m = bernoulli(1 - rate, shape(x))", r"m \sim \operatorname{Bernoulli}\left(1 - \mathrm{rate}\right)"),
        ("y = x * m / (1 - rate)", MASKED),
    ),
    ("rate = 0.5",),
    "dropout",
)


def dropout_of_channels(shape: str) -> Textbook:
    """One number of the mask for a whole channel."""
    drawn = rf"m \sim \operatorname{{Bernoulli}}\left(1 - \mathrm{{rate}}\right) \quad \text{{[{shape}]}}"
    lines = ((f"m = bernoulli(1 - rate, ({shape}))", drawn), ("y = x * m / (1 - rate)", MASKED))
    return Textbook(lines, ("rate = 0.5", "B, C = shape(x)[0], shape(x)[-1]"), "channel_dropout")


GAUSSIAN_NOISE = Textbook(
    (
        ("e = normal(0, stddev, shape(x))", r"e \sim N\left(0, \mathrm{stddev}^2\right)"),
        ("y = x + e", "y = x + e"),
    ),
    ("stddev = 0.1",),
    "noise",
)

GAUSSIAN_DROPOUT = Textbook(
    (
        (
            "e = normal(1, sqrt(rate / (1 - rate)), shape(x))",
            r"e \sim N\left(1, \frac{\mathrm{rate}}{1 - \mathrm{rate}}\right)",
        ),
        ("y = x * e", r"y = x \odot e"),
    ),
    ("rate = 0.2",),
    "noise",
)

SOFTMAX = Textbook(
    (("y[i] = exp(x[i]) / sum(exp(x[j]) for j in range(N))", r"y_i = \frac{e^{x_i}}{\sum_{j=0}^{N-1} e^{x_j}}"),),
    (),
    "softmax",
)

MEMORY = Textbook(
    (
        ("m[i] = embed(story[i], A) + T_A[i]", r"m_i = \sum_j l_j \odot A_{\mathrm{story}_{i,j}} + T^A_i"),
        ("c[i] = embed(story[i], C) + T_C[i]", r"c_i = \sum_j l_j \odot C_{\mathrm{story}_{i,j}} + T^C_i"),
        ("u = embed(question, A)", r"u = \sum_j l_j \odot A_{\mathrm{question}_j}"),
        ("p = softmax(m @ u)", r"p = \operatorname{softmax}\left(m \, u\right)"),
        ("o = p @ c", r"o = \sum_i p_i \, c_i"),
        ("y = u + o", "y = u + o"),
    ),
    (
        "A, C, T_A, T_C = embeddings_0, embeddings_1, ages_0, ages_1",
        "l = lambda j, J: (1 - j/J) - k/d * (1 - 2*j/J)",
        "k, d = arange(1, 9), 8",
        "embed = lambda s, E: sum(l(j + 1, len(s)) * E[s[j]] for j in range(len(s)) if s[j])",
    ),
    "memory",
)

HOPFIELD = Textbook(
    (
        ("s' = sign(s @ W - theta)", r"s' = \operatorname{sign}\left(s W - \theta\right)"),
        ("E = -s @ W @ s / 2 + theta @ s", r"E = -\frac{1}{2} s W s^{\top} + \theta s^{\top}"),
    ),
    ("W, theta = weights, thresholds",),
    "hopfield",
)

MODERN = Textbook(
    (
        ("p = softmax(beta * X @ x)", r"p = \operatorname{softmax}\left(\beta X x\right)"),
        ("y = X.T @ p", r"y = X^{\top} p"),
    ),
    ("X = patterns", "beta = 0.25"),
    "modern",
)

EMBEDDING = Textbook((("y[t] = E[x[t]]", r"y_t = E_{x_t}"),), ("E = embeddings",), "embedding")

SEPARABLE = Textbook(
    (
        (
            "u[i, j, c] = sum(x[i + p, j + q, c] * D[p, q, c] for p in range(3) for q in range(3))",
            r"u_{i,j,c} = \sum_{p=0}^{2} \sum_{q=0}^{2} x_{i+p,j+q,c} \, D_{p,q,c}",
        ),
        (
            "y[i, j, f] = sum(u[i, j, c] * P[c, f] for c in range(3)) + b[f]",
            r"y_{i,j,f} = \sum_{c=0}^{2} u_{i,j,c} \, P_{c,f} + b_f",
        ),
    ),
    ("D, P, b = depthwise_kernel[..., 0], pointwise_kernel[0, 0], bias",),
    "separable",
)

TEXTBOOK: dict[str, Textbook] = {
    "SimpleRNN": SIMPLE_RNN, "SimpleRNNCell": SIMPLE_RNN, "RNN": SIMPLE_RNN, "LSTM": LSTM, "LSTMCell": LSTM,
    "GRU": GRU, "GRUCell": GRU, "Attention": ATTENTION, "AdditiveAttention": ADDITIVE, "MultiHeadAttention": HEADS,
    "BatchNormalization": BATCH, "LayerNormalization": LAYER, "GroupNormalization": GROUP, "RMSNormalization": RMS,
    "LocalResponseNormalization": RESPONSE, "Dropout": DROPOUT, "SpatialDropout1D": dropout_of_channels("B, 1, C"),
    "SpatialDropout2D": dropout_of_channels("B, 1, 1, C"), "SpatialDropout3D": dropout_of_channels("B, 1, 1, 1, C"),
    "GaussianNoise": GAUSSIAN_NOISE, "GaussianDropout": GAUSSIAN_DROPOUT, "Softmax": SOFTMAX, "MemoryNetwork": MEMORY,
    "Hopfield": HOPFIELD, "ModernHopfield": MODERN, "Embedding": EMBEDDING, "SeparableConv2D": SEPARABLE,
}  # fmt: skip
