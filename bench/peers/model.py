"""What does the same model cost in plain PyTorch?

This is a decoder-only transformer: pre-RMSNorm, rotary causal attention, SwiGLU, no biases, untied head.
Its sublayers (attention or feed-forward, numbered through the whole depth) are joined by one of

  residual   x + F(x)
  hc         dynamic Hyper-Connections, arXiv 2409.19606
  mhc        Manifold-Constrained Hyper-Connections, arXiv 2512.24880, eq. 6-9, in the paper's form

It is written as one would write it by hand, with PyTorch's fused operations where they exist
(scaled_dot_product_attention, cross_entropy, addcmul, fused AdamW) and batched matmuls elsewhere.
Where several natural forms exist, this is the one that measured fastest in eager mode on a CPU:
einsum for the reads and mixes, the norm before the projection, a Sinkhorn with the tokens in the
last dimension, and AdamW's foreach form were all tried and were slower or no faster.

Letters in names: B batch, T tokens, S streams, C channels, H heads, D head channels.
"""

import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6
ROPE_THETA = 10_000.0
SINKHORN_ITERATIONS = 20
ALPHA = 0.01


def parameter(*shape: int, std: float = 0.02) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * std)


def rms_norm(x: Tensor, weight: Tensor | None = None) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], weight, NORM_EPS)


# --- the two blocks F -------------------------------------------------------------------------


def rotary_table(tokens: int, head_channels: int) -> tuple[Tensor, Tensor]:
    frequency = ROPE_THETA ** (-torch.arange(0, head_channels, 2) / head_channels)
    angle_TD = torch.outer(torch.arange(tokens), frequency)
    return angle_TD.cos(), angle_TD.sin()


def rotate(x_BHTD: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> Tensor:
    """Pairs channel i with channel i + D/2."""
    a, b = x_BHTD.chunk(2, dim=-1)
    return torch.cat([a * cos_TD - b * sin_TD, b * cos_TD + a * sin_TD], dim=-1)


class Attention(nn.Module):
    def __init__(self, channels: int, heads: int, tokens: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.Parameter(torch.ones(channels))
        self.qkv = parameter(channels, 3 * channels)
        self.out = parameter(channels, channels)
        cos, sin = rotary_table(tokens, channels // heads)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, x_BTC: Tensor) -> Tensor:
        B, T, C = x_BTC.shape
        qkv = rms_norm(x_BTC, self.norm) @ self.qkv
        q, k, v = qkv.view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, self.cos, self.sin), rotate(k, self.cos, self.sin)
        y_BHTD = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y_BHTD.transpose(1, 2).reshape(B, T, C) @ self.out

    def start(self, tokens: int) -> None:
        """An empty cache of keys and values for one text."""
        shape = (1, self.heads, tokens, self.out.shape[0] // self.heads)
        self.keys, self.values = torch.zeros(shape), torch.zeros(shape)

    def read(self, x_BTC: Tensor, at: int) -> Tensor:
        """Positions at, at + 1, ... of the text, attending to the cache, which keeps their keys and values."""
        B, T, C = x_BTC.shape
        end = at + T
        qkv = rms_norm(x_BTC, self.norm) @ self.qkv
        q, k, v = qkv.view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        cos, sin = self.cos[at:end], self.sin[at:end]
        self.keys[:, :, at:end] = rotate(k, cos, sin)
        self.values[:, :, at:end] = v
        y_BHTD = F.scaled_dot_product_attention(
            rotate(q, cos, sin), self.keys[:, :, :end], self.values[:, :, :end], is_causal=T > 1
        )
        return y_BHTD.transpose(1, 2).reshape(B, T, C) @ self.out


def hidden_channels(channels: int) -> int:
    """8C/3, rounded up to a multiple of 64: 704 for 256."""
    return 64 * math.ceil(8 * channels / 3 / 64)


class SwiGLU(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        hidden = hidden_channels(channels)
        self.norm = nn.Parameter(torch.ones(channels))
        self.gate_up = parameter(channels, 2 * hidden)
        self.down = parameter(hidden, channels)

    def forward(self, x_BTC: Tensor) -> Tensor:
        gate, up = (rms_norm(x_BTC, self.norm) @ self.gate_up).chunk(2, dim=-1)
        return (F.silu(gate) * up) @ self.down


# --- the connections: each owns how a sublayer reads its input and writes its output -----------


class Residual(nn.Module):
    def __init__(self, channels: int, sublayer: int):
        super().__init__()

    def forward(self, x_BTC: Tensor, block: nn.Module) -> Tensor:
        return x_BTC + block(x_BTC)

    expand = staticmethod(lambda x_BTC: x_BTC)
    collapse = staticmethod(lambda x_BTC: x_BTC)


def replicate(x_BTC: Tensor, streams: int) -> Tensor:
    return x_BTC.unsqueeze(-2).repeat(1, 1, streams, 1)


class Hyper(nn.Module):
    """Dynamic HC. At initialisation, with its projections at zero, it equals pre-norm."""

    streams = 4

    def __init__(self, channels: int, sublayer: int):
        super().__init__()
        S = self.streams
        self.norm = nn.Parameter(torch.ones(channels))
        # Columns: 1 for A_m (read), S for A_r (mix), 1 for B (write).
        self.project = nn.Parameter(torch.zeros(channels, S + 2))
        self.scale_alpha = nn.Parameter(torch.tensor(ALPHA))
        self.scale_beta = nn.Parameter(torch.tensor(ALPHA))
        self.static_alpha = nn.Parameter(torch.cat([F.one_hot(torch.tensor([sublayer % S]), S).T, torch.eye(S)], 1))
        self.static_beta = nn.Parameter(torch.ones(S))

    def forward(self, x_BTSC: Tensor, block: nn.Module) -> Tensor:
        dynamic = torch.tanh(rms_norm(x_BTSC, self.norm) @ self.project)
        alpha_BTSA = self.scale_alpha * dynamic[..., :-1] + self.static_alpha
        beta_BTS = self.scale_beta * dynamic[..., -1] + self.static_beta
        # One product makes both the block's input (row 0) and the mixed streams (the other rows).
        mixed = alpha_BTSA.transpose(-1, -2) @ x_BTSC
        y_BTC = block(mixed[..., 0, :])
        return torch.addcmul(mixed[..., 1:, :], beta_BTS.unsqueeze(-1), y_BTC.unsqueeze(-2))

    @classmethod
    def expand(cls, x_BTC: Tensor) -> Tensor:
        return replicate(x_BTC, cls.streams)

    @staticmethod
    def collapse(x_BTSC: Tensor) -> Tensor:
        return x_BTSC.sum(-2)


def sinkhorn(logits: Tensor, row_axis: int = -2, column_axis: int = -1) -> Tensor:
    """exp, then columns first and rows last, so that rows sum to 1 exactly."""
    m = logits.exp()
    for _ in range(SINKHORN_ITERATIONS):
        m = m / m.sum(row_axis, keepdim=True)
        m = m / m.sum(column_axis, keepdim=True)
    return m


class Manifold(nn.Module):
    """mHC. Starts near pre-norm: reads the mean of the streams, writes 1, mixes by almost the identity."""

    streams = 4

    def __init__(self, channels: int, sublayer: int):
        super().__init__()
        S = self.streams
        self.phi = parameter(S * channels, 2 * S + S * S)
        self.alpha = nn.Parameter(torch.full((3,), ALPHA))
        read = torch.full((S,), -math.log(S - 1))
        write = torch.zeros(S)
        mix = -8 * (1 - torch.eye(S))
        self.bias = nn.Parameter(torch.cat([read, write, mix.flatten()]))

    def coefficients(self, x_BTSC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        S = self.streams
        sizes = [S, S, S * S]
        flat = x_BTSC.flatten(-2)
        # The paper's kernel form (eq. 14-16): project first, divide by the norm after. It spares a copy of x.
        projected = (flat @ self.phi) * torch.rsqrt(flat.square().mean(-1, keepdim=True) + NORM_EPS)
        pre, post, res = (
            torch.addcmul(bias, alpha, part)
            for bias, alpha, part in zip(self.bias.split(sizes), self.alpha, projected.split(sizes, dim=-1))
        )
        return pre.sigmoid(), 2 * post.sigmoid(), sinkhorn(res.unflatten(-1, (S, S)))

    def forward(self, x_BTSC: Tensor, block: nn.Module) -> Tensor:
        pre_BTS, post_BTS, res_BTSS = self.coefficients(x_BTSC)
        y_BTC = block((pre_BTS.unsqueeze(-2) @ x_BTSC).squeeze(-2))
        return torch.addcmul(res_BTSS @ x_BTSC, post_BTS.unsqueeze(-1), y_BTC.unsqueeze(-2))

    @classmethod
    def expand(cls, x_BTC: Tensor) -> Tensor:
        return replicate(x_BTC, cls.streams)

    @staticmethod
    def collapse(x_BTSC: Tensor) -> Tensor:
        return x_BTSC.mean(-2)


CONNECTIONS = {"residual": Residual, "hc": Hyper, "mhc": Manifold}


# --- the model and one training step -----------------------------------------------------------


class Transformer(nn.Module):
    def __init__(self, connection: str, layers: int, channels: int, heads: int, tokens: int, vocabulary: int):
        super().__init__()
        join = CONNECTIONS[connection]
        self.embedding = parameter(vocabulary, channels)
        self.blocks = nn.ModuleList(
            block
            for _ in range(layers)
            for block in (Attention(channels, heads, tokens), SwiGLU(channels))
        )
        self.connections = nn.ModuleList(join(channels, k) for k in range(2 * layers))
        self.expand, self.collapse = join.expand, join.collapse
        self.norm = nn.Parameter(torch.ones(channels))
        self.head = parameter(channels, vocabulary)

    def forward(self, input_BT: Tensor, target_BT: Tensor) -> Tensor:
        x = self.expand(F.embedding(input_BT, self.embedding))
        for block, connection in zip(self.blocks, self.connections):
            x = connection(x, block)
        logits = rms_norm(self.collapse(x), self.norm) @ self.head
        return F.cross_entropy(logits.flatten(0, 1), target_BT.flatten())

    def start(self, tokens: int) -> None:
        for block in self.blocks[::2]:
            block.start(tokens)

    def read(self, input_BT: Tensor, at: int) -> Tensor:
        """Scores of the token after the last, [V]; what was read before is in the cache."""
        x = self.expand(F.embedding(input_BT, self.embedding))
        for block, connection in zip(self.blocks, self.connections):
            attends = isinstance(block, Attention)
            x = connection(x, (lambda u, block=block: block.read(u, at)) if attends else block)
        return rms_norm(self.collapse(x[:, -1:]), self.norm)[0, 0] @ self.head


def optimizer(model: Transformer) -> torch.optim.Optimizer:
    """AdamW; only the blocks' and the head's matrices decay."""
    decayed = [p for p in [*model.blocks.parameters(), model.head] if p.ndim == 2]
    chosen = {id(p) for p in decayed}
    others = [p for p in model.parameters() if id(p) not in chosen]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)


class Trainer:
    """One training step on one fixed, seeded batch, so that a falling loss shows that it learns."""

    def __init__(self, connection: str, compiled: bool, layers: int, channels: int, heads: int, tokens: int,
                 batch: int, vocabulary: int):
        torch.manual_seed(0)
        self.model = Transformer(connection, layers, channels, heads, tokens, vocabulary)
        self.optimizer = optimizer(self.model)
        self.loss = torch.compile(self.model, fullgraph=True, dynamic=False) if compiled else self.model
        text = torch.randint(vocabulary, (batch, tokens + 1))
        self.input, self.target = text[:, :-1].contiguous(), text[:, 1:].contiguous()

    def step(self) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.input, self.target)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()


class Writer:
    """Greedy text with a cache of keys and values: a prompt at once, then token by token."""

    def __init__(self, connection: str, layers: int, channels: int, heads: int, tokens: int, vocabulary: int):
        torch.manual_seed(0)
        self.model = Transformer(connection, layers, channels, heads, tokens, vocabulary)
        self.tokens = tokens
        self.prompt = [(7 * i + 3) % vocabulary for i in range(tokens // 2)]

    @torch.inference_mode()
    def write(self) -> list[float]:
        """Seconds until each token of the window's second half is known; the first includes the prompt."""
        times = []
        start = time.perf_counter()
        self.model.start(self.tokens)
        text = self.prompt
        for at in range(len(self.prompt), self.tokens):
            scores = self.model.read(torch.tensor([text]), at - len(text) + 1 if len(text) == 1 else 0)
            text = [scores.argmax().item()]
            now = time.perf_counter()
            times.append(now - start)
            start = now
        return times
