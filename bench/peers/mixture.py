"""What does a small mixture of experts cost in plain PyTorch?

This is the model of bench/lib/moe-step.ts, with the same first values. It has pre-RMSNorm and rotary causal
attention. In place of the feed-forward it has sigmoid scores, the k experts with the largest score plus bias, weights
that sum to one, one shared expert, and the balancing of DeepSeek-V3 (arXiv 2412.19437, 2.1.2). Each expert is a
module; they run in a loop with index_select and index_add, like the eager models of Hugging Face's transformers. Gate
and up are one product; attention, cross-entropy and AdamW are PyTorch's fused ones.

Letters in names: B batch, T tokens, N = BT, C channels, E experts, K active.
"""

import array
import json

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import Manifold, Residual, rotary_table, rotate

NORM_EPS = 1e-20


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], weight, NORM_EPS)


class Attention(nn.Module):
    def __init__(self, values: dict[str, Tensor], heads: int, tokens: int):
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = (nn.Parameter(values[name]) for name in ("norm", "qkv", "output"))
        cos, sin = rotary_table(tokens, self.out.shape[0] // heads)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, x_BTC: Tensor) -> Tensor:
        B, T, C = x_BTC.shape
        qkv = rms_norm(x_BTC, self.norm) @ self.qkv
        q, k, v = qkv.view(B, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, self.cos, self.sin), rotate(k, self.cos, self.sin)
        y_BHTD = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y_BHTD.transpose(1, 2).reshape(B, T, C) @ self.out


class SwiGLU(nn.Module):
    def __init__(self, gate_up: Tensor, down: Tensor):
        super().__init__()
        self.gate_up, self.down = nn.Parameter(gate_up.clone()), nn.Parameter(down.clone())

    def forward(self, x_NC: Tensor) -> Tensor:
        gate, up = (x_NC @ self.gate_up).chunk(2, dim=-1)
        return (F.silu(gate) * up) @ self.down


class Mixture(nn.Module):
    def __init__(self, values: dict[str, Tensor], active: int):
        super().__init__()
        self.active = active
        self.norm, self.router = nn.Parameter(values["norm"]), nn.Parameter(values["router"])
        self.experts = nn.ModuleList(
            SwiGLU(gate_up, down) for gate_up, down in zip(values["experts.gateUp"], values["experts.down"])
        )
        self.shared = SwiGLU(values["shared.gateUp"], values["shared.down"])
        self.register_buffer("bias", values["routerBias"])

    def forward(self, x_BTC: Tensor) -> Tensor:
        x_NC = rms_norm(x_BTC, self.norm).flatten(0, 1)
        scores_NE = torch.sigmoid(x_NC @ self.router)
        chosen_NK = (scores_NE + self.bias).topk(self.active, dim=-1, sorted=False).indices
        weights_NK = scores_NE.gather(1, chosen_NK)
        weights_NK = weights_NK / weights_NK.sum(-1, keepdim=True)
        self.load = torch.bincount(chosen_NK.flatten(), minlength=len(self.experts))
        y_NC = self.shared(x_NC)
        for e, expert in enumerate(self.experts):
            rows, places = torch.where(chosen_NK == e)
            if rows.numel() > 0:
                routed = expert(x_NC.index_select(0, rows)) * weights_NK[rows, places].unsqueeze(-1)
                y_NC = y_NC.index_add(0, rows, routed)
        return y_NC.view_as(x_BTC)

    @torch.no_grad()
    def balance(self, rate: float) -> None:
        load = self.load.float()
        self.bias -= rate * torch.sign(load - load.mean())


def connect(values: dict[str, Tensor], kind: str, channels: int, sublayer: int) -> nn.Module:
    """How a sublayer is joined to the others, with its first values; ours keeps phi as rows."""
    if kind == "residual":
        return Residual(channels, sublayer)
    connection = Manifold(channels, sublayer)
    with torch.no_grad():
        connection.phi.copy_(values["connection.phi"].T)
        connection.alpha.copy_(values["connection.alpha"])
        connection.bias.copy_(values["connection.bias"])
    return connection


class Transformer(nn.Module):
    def __init__(self, values: dict[str, Tensor], kind: str, layers: int, heads: int, tokens: int, active: int):
        super().__init__()
        self.embedding, self.norm, self.head = (nn.Parameter(values[name]) for name in ("embedding", "norm", "head"))

        def of(prefix: str) -> dict[str, Tensor]:
            return {name[len(prefix):]: value for name, value in values.items() if name.startswith(prefix)}

        parts = [of(f"layers.{layer}.{part}.") for layer in range(layers) for part in ("attention", "feedForward")]
        self.blocks = nn.ModuleList(
            Mixture(part, active) if k % 2 else Attention(part, heads, tokens) for k, part in enumerate(parts)
        )
        channels = self.embedding.shape[1]
        self.connections = nn.ModuleList(connect(part, kind, channels, k) for k, part in enumerate(parts))

    def forward(self, input_BT: Tensor, target_BT: Tensor) -> Tensor:
        x = self.connections[0].expand(F.embedding(input_BT, self.embedding))
        for block, connection in zip(self.blocks, self.connections):
            x = connection(x, block)
        logits = rms_norm(self.connections[0].collapse(x), self.norm) @ self.head
        return F.cross_entropy(logits.flatten(0, 1), target_BT.flatten())


def read_model(path: str) -> tuple[dict, dict[str, Tensor]]:
    """The sizes and first values that `writeModel` of bench/lib/moe-step.ts wrote."""
    with open(path, "rb") as file:
        head = json.loads(file.readline())
        values = {}
        for tensor in head["tensors"]:
            size = 1
            for length in tensor["shape"]:
                size *= length
            numbers = array.array("f")
            numbers.fromfile(file, size)
            values[tensor["name"]] = torch.tensor(numbers, dtype=torch.float32).view(tensor["shape"])
    return head, values


class Trainer:
    def __init__(self, path: str):
        head, values = read_model(path)
        self.vocabulary, self.batch, self.tokens = head["vocabulary"], head["batch"], head["context"]
        self.rate = head["balanceRate"]
        self.model = Transformer(values, head["connection"], head["layers"], head["heads"], self.tokens, head["active"])
        # Matrices of the blocks decay; embedding, head, norms and connections do not.
        decayed = [p for p in self.model.blocks.parameters() if p.ndim == 2]
        chosen = {id(p) for p in decayed}
        others = [p for p in self.model.parameters() if id(p) not in chosen]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)
        self.state = 1

    def draw(self) -> Tensor:
        """The tokens of the next batch, as in bench/lib/moe-step.ts."""
        ids = []
        for _ in range(self.batch * self.tokens + 1):
            self.state = (self.state * 1664525 + 1013904223) % 2**32
            share = self.state / 2**32
            ids.append(int(self.vocabulary * (share * share * share)))
        return torch.tensor(ids)

    def step(self) -> float:
        ids = self.draw()
        shape = (self.batch, self.tokens)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model(ids[:-1].view(shape), ids[1:].view(shape))
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        for block in self.model.blocks[1::2]:
            block.balance(self.rate)
        return loss.item()
