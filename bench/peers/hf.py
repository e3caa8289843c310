"""Which logits does PyTorch give for a folder that `birkhoff export --format hf` wrote?

    echo "[[3, 1, 4], [1, 5, 9]]" | python bench/peers/hf.py FOLDER          a line of JSON for each token

For several folders, the script answers in turn, for the same tokens.

It implements the formulas of Hugging Face's llama and deepseek_v3 under the names of their tensors, and those of
deepseek_v4's hyper-connections, in plain PyTorch. It imports nothing from this library, transformers or
safetensors, so it reads the files independently. Everything is float32.

deepseek_v3 normalises its latents (kv_a_layernorm, q_a_layernorm) with an epsilon of 1e-6 whatever
config.json says, and so does this script. --latent-eps 1e-20 uses the epsilon of the exported model's training.

Letters in names: B batch, T tokens, N = B T, S streams, C channels, H heads, D columns of a head.
"""

import argparse
import json
import os
import sys

import torch
import torch.nn.functional as F
from torch import Tensor

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_safetensors(path: str) -> dict[str, Tensor]:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data[begin:end], dtype=DTYPES[entry["dtype"]])
        tensors[name] = flat.float().reshape(entry["shape"])
    return tensors


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return y if weight is None else weight * y


# --- rotary positions --------------------------------------------------------------------------


def rotary_angles(tokens: int, size: int, theta: float) -> tuple[Tensor, Tensor]:
    frequency = theta ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
    angle_TD = torch.outer(torch.arange(tokens, dtype=torch.float64), frequency).repeat(1, 2)
    return angle_TD.cos().float(), angle_TD.sin().float()


def rotate(x_BHTD: Tensor, angles: tuple[Tensor, Tensor], interleaved: bool) -> Tensor:
    cos, sin = angles
    if interleaved:
        *lead, size = x_BHTD.shape
        x_BHTD = x_BHTD.reshape(*lead, size // 2, 2).transpose(-1, -2).reshape(*lead, size)
    a, b = x_BHTD.chunk(2, dim=-1)
    return x_BHTD * cos + torch.cat([-b, a], dim=-1) * sin


def attend(q_BHTD: Tensor, k_BHTD: Tensor, v_BHTV: Tensor) -> Tensor:
    """Causal attention -> [B, T, H V]."""
    B, _, T, D = q_BHTD.shape
    scores = q_BHTD @ k_BHTD.transpose(-1, -2) * D**-0.5
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, float("-inf")).softmax(-1)
    return (weights @ v_BHTV).transpose(1, 2).reshape(B, T, -1)


# --- the blocks --------------------------------------------------------------------------------


class Model:
    def __init__(self, folder: str, latent_eps: float):
        with open(os.path.join(folder, "config.json")) as file:
            self.c = json.load(file)
        self.w = read_safetensors(os.path.join(folder, "model.safetensors"))
        self.latent_eps = latent_eps
        self.backbone = self.c.get("backbone", self.c["model_type"])
        self.unused = set(self.w)

    def get(self, name: str) -> Tensor:
        self.unused.discard(name)
        return self.w[name]

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.get(f"{name}.weight"))

    def norm(self, x: Tensor, name: str, eps: float | None = None) -> Tensor:
        return rms_norm(x, self.get(f"{name}.weight"), self.c["rms_norm_eps"] if eps is None else eps)

    def llama_attention(self, x_BTC: Tensor, at: str) -> Tensor:
        B, T, _ = x_BTC.shape
        heads, kv_heads, size = (self.c[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))
        angles = rotary_angles(T, size, self.c["rope_theta"])
        split = lambda name, count: self.linear(x_BTC, f"{at}.{name}").view(B, T, count, size).transpose(1, 2)
        q = rotate(split("q_proj", heads), angles, False)
        k = rotate(split("k_proj", kv_heads), angles, False)
        v = split("v_proj", kv_heads)
        k, v = (each.repeat_interleave(heads // kv_heads, dim=1) for each in (k, v))
        return self.linear(attend(q, k, v), f"{at}.o_proj")

    def latent_attention(self, x_BTC: Tensor, at: str) -> Tensor:
        B, T, _ = x_BTC.shape
        c, heads = self.c, self.c["num_attention_heads"]
        nope, rope, value, rank = (c[k] for k in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "kv_lora_rank"))
        angles, pairs = rotary_angles(T, rope, c["rope_theta"]), c.get("rope_interleave", True)
        if c["q_lora_rank"] is None:
            q = self.linear(x_BTC, f"{at}.q_proj")
        else:
            low = self.norm(self.linear(x_BTC, f"{at}.q_a_proj"), f"{at}.q_a_layernorm", self.latent_eps)
            q = self.linear(low, f"{at}.q_b_proj")
        q_pass, q_rot = q.view(B, T, heads, nope + rope).transpose(1, 2).split([nope, rope], dim=-1)
        latent, k_rot = self.linear(x_BTC, f"{at}.kv_a_proj_with_mqa").split([rank, rope], dim=-1)
        kv = self.linear(self.norm(latent, f"{at}.kv_a_layernorm", self.latent_eps), f"{at}.kv_b_proj")
        k_pass, v = kv.view(B, T, heads, nope + value).transpose(1, 2).split([nope, value], dim=-1)
        k_rot = rotate(k_rot.view(B, 1, T, rope), angles, pairs).expand(-1, heads, -1, -1)
        q = torch.cat([q_pass, rotate(q_rot, angles, pairs)], dim=-1)
        return self.linear(attend(q, torch.cat([k_pass, k_rot], dim=-1), v), f"{at}.o_proj")

    def mlp(self, x: Tensor, at: str) -> Tensor:
        gated = F.silu(self.linear(x, f"{at}.gate_proj")) * self.linear(x, f"{at}.up_proj")
        return self.linear(gated, f"{at}.down_proj")

    def mixture(self, x_BTC: Tensor, at: str) -> Tensor:
        c = self.c
        x_NC = x_BTC.flatten(0, 1)
        scores_NE = self.linear(x_NC, f"{at}.gate").sigmoid()
        chosen = (scores_NE + self.get(f"{at}.gate.e_score_correction_bias")).topk(c["num_experts_per_tok"]).indices
        weights = scores_NE.gather(1, chosen)
        if c["norm_topk_prob"]:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        weights = weights * c["routed_scaling_factor"]
        y_NC = torch.zeros_like(x_NC)
        for expert in range(c["n_routed_experts"]):
            token, slot = (chosen == expert).nonzero(as_tuple=True)
            part = self.mlp(x_NC[token], f"{at}.experts.{expert}")
            y_NC.index_add_(0, token, part * weights[token, slot, None])
        y_BTC = y_NC.view_as(x_BTC)
        return y_BTC + self.mlp(x_BTC, f"{at}.shared_experts") if c["n_shared_experts"] else y_BTC

    def sublayers(self):
        """(name of the connection, the block with its norm) in order of depth."""
        for layer in range(self.c["num_hidden_layers"]):
            at = f"model.layers.{layer}"
            latent = self.backbone == "deepseek_v3"
            attention = self.latent_attention if latent else self.llama_attention
            mixture = latent and layer >= self.c["first_k_dense_replace"]
            feed_forward = self.mixture if mixture else self.mlp
            yield f"{at}.attn_hc", lambda x, at=at, f=attention: f(self.norm(x, f"{at}.input_layernorm"), f"{at}.self_attn")
            yield f"{at}.ffn_hc", lambda x, at=at, f=feed_forward: f(self.norm(x, f"{at}.post_attention_layernorm"), f"{at}.mlp")

    # --- how the blocks are joined -------------------------------------------------------------

    def mhc(self, x_BTSC: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        """deepseek_v4's coefficients. hc_eps is 1e-20 where the model has none: then they are the paper's."""
        c, S = self.c, x_BTSC.shape[-2]
        flat = rms_norm(x_BTSC.flatten(-2), None, c["hc_norm_eps"])
        mixes = F.linear(flat, self.get(f"{at}.fn")).split([S, S, S * S], dim=-1)
        scales, bases = self.get(f"{at}.scale"), self.get(f"{at}.base").split([S, S, S * S])
        pre, post, comb = (mix * scale + base for mix, scale, base in zip(mixes, scales, bases))
        comb = comb.unflatten(-1, (S, S)).softmax(-1) + c["hc_eps"]
        comb = comb / (comb.sum(-2, keepdim=True) + c["hc_eps"])
        for _ in range(c["hc_sinkhorn_iters"] - 1):
            comb = comb / (comb.sum(-1, keepdim=True) + c["hc_eps"])
            comb = comb / (comb.sum(-2, keepdim=True) + c["hc_eps"])
        # Entry [j, k] says how much of stream j goes to stream k.
        return pre.sigmoid() + c["hc_eps"], 2 * post.sigmoid(), comb.transpose(-1, -2)

    def hc(self, x_BTSC: Tensor, at: str) -> tuple[Tensor, Tensor, Tensor]:
        """Hyper-Connections (arXiv 2409.19606): every stream its own projection, rows pre | post | res of base."""
        c, S = self.c, x_BTSC.shape[-2]
        base = self.get(f"{at}.base").view(S + 2, S)
        rows = base.expand(*x_BTSC.shape[:2], S + 2, S)
        if c["hc_dynamic"]:
            p = F.linear(rms_norm(x_BTSC, None, c["hc_norm_eps"]), self.get(f"{at}.fn")).transpose(-1, -2)
            scale = self.get(f"{at}.scale")[[0, 1] + [2] * S]
            rows = scale[:, None] * (p.tanh() if c["hc_tanh"] else p) + base
        return rows[..., 0, :], rows[..., 1, :], rows[..., 2:, :]

    def streams(self, x_BTC: Tensor) -> Tensor:
        c = self.c
        coefficients = self.mhc if c["model_type"] == "birkhoff_mhc" else self.hc
        store = (lambda x: x.bfloat16().float()) if c["hc_stream_dtype"] == "bfloat16" else (lambda x: x)
        x = store(x_BTC[:, :, None].expand(-1, -1, c["hc_mult"], -1))
        for at, block in self.sublayers():
            pre, post, res = coefficients(x, at)
            y = block((pre[..., None] * x).sum(-2))
            x = store(res @ x + post[..., None] * y[..., None, :])
        if c["hc_collapse"] == "mean":
            return x.mean(-2)
        if c["hc_collapse"] == "sum":
            return x.sum(-2)
        flat = rms_norm(x.flatten(-2), None, c["hc_norm_eps"])
        mix = F.linear(flat, self.get("model.hc_head.hc_fn")) * self.get("model.hc_head.hc_scale")
        weights = (mix + self.get("model.hc_head.hc_base")).sigmoid() + c["hc_eps"]
        return (weights[..., None] * x).sum(-2)

    def logits(self, tokens_BT: Tensor) -> Tensor:
        x_BTC = self.get("model.embed_tokens.weight")[tokens_BT]
        if "hc_mult" in self.c:
            x_BTC = self.streams(x_BTC)
        else:
            for _, block in self.sublayers():
                x_BTC = x_BTC + block(x_BTC)
        return self.linear(self.norm(x_BTC, "model.norm"), "lm_head")


def answer(folder: str, tokens_BT: Tensor, latent_eps: float) -> None:
    model = Model(folder, latent_eps)
    logits_NV = model.logits(tokens_BT).flatten(0, 1)
    if model.unused:
        sys.exit(f"{folder} holds tensors that its config.json does not call for: {sorted(model.unused)}")
    for row in logits_NV.tolist():
        print(json.dumps(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--latent-eps", type=float, default=1e-6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokens_BT = torch.tensor(json.load(sys.stdin))
    with torch.inference_mode():
        for folder in options.folders:
            answer(folder, tokens_BT, options.latent_eps)


main()
