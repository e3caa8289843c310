"""Question: how fast is the step of the same GPT in PyTorch, compiled?

    python3 cuda_step.py '{"layers": 12, "width": 768, "heads": 12, "context": 1024, "vocabulary": 50304, "batch": 8, "kind": "mhc", "rounds": 8}'

RMSNorm, attention of PyTorch, SwiGLU, fused AdamW, bfloat16 by autocast; kind "mhc" has four streams, phi in bfloat16 (the
faster choice), sums that torch.compile fuses. Prints one line of JSON. Without a GPU it runs on the processor: for trying.
"""
import json, sys, time

size = json.loads(sys.argv[1])
try:
    import torch, torch.nn as nn, torch.nn.functional as F
except Exception as error:
    print(json.dumps({"versions": "", "skipped": f"no PyTorch: {error}"}))
    sys.exit()

device = "cuda" if torch.cuda.is_available() else "cpu"
L, D, H, T, B, V = (size[k] for k in ("layers", "width", "heads", "context", "batch", "vocabulary"))
n, M = 4, 24
hidden = 64 * max(1, 8 * D // 3 // 64)


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(D))

    def forward(self, x):
        return F.rms_norm(x, (D,), self.w.to(x.dtype), 1e-6)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.qkv, self.out = Norm(), nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (z.view(b, t, H, D // H).transpose(1, 2) for z in self.qkv(self.norm(x)).split(D, 2))
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, D))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.gate, self.up = Norm(), nn.Linear(D, hidden, bias=False), nn.Linear(D, hidden, bias=False)
        self.down = nn.Linear(hidden, D, bias=False)

    def forward(self, x):
        x = self.norm(x)
        return self.down(F.silu(self.gate(x)) * self.up(x))


def sinkhorn(z, iterations=20):
    m = torch.exp(z - z.amax(-2, keepdim=True))
    for _ in range(iterations):
        m = m / m.sum(-2, keepdim=True)
        m = m / m.sum(-1, keepdim=True)
    return m


class Residual(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return x + self.f(x)


class Manifold(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f
        self.phi = nn.Parameter(torch.randn(M, n * D) * 0.02)
        self.alpha = nn.Parameter(torch.full((3,), 0.01))
        bias = torch.zeros(M)
        bias[2 * n :] = (torch.eye(n) * 4).flatten()
        self.bias = nn.Parameter(bias)

    def forward(self, x):
        with torch.autocast(device, enabled=False):
            flat = x.flatten(-2)
            p = F.linear(flat, self.phi.to(x.dtype)).float() * torch.rsqrt(flat.float().square().mean(-1, keepdim=True) + 1e-20)
            pre = torch.sigmoid(self.alpha[0] * p[..., :n] + self.bias[:n])
            post = 2 * torch.sigmoid(self.alpha[1] * p[..., n : 2 * n] + self.bias[n : 2 * n])
            res = sinkhorn((self.alpha[2] * p[..., 2 * n :] + self.bias[2 * n :]).unflatten(-1, (n, n)))
            u = sum(pre[..., j, None] * x[..., j, :].float() for j in range(n)).to(x.dtype)
        f = self.f(u).float()
        with torch.autocast(device, enabled=False):
            rows = [x[..., j, :].float() for j in range(n)]
            mixed = [post[..., i, None] * f + sum(res[..., i, j, None] * rows[j] for j in range(n)) for i in range(n)]
            return torch.stack(mixed, -2).to(x.dtype)


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.out = Norm(), nn.Linear(D, V, bias=False)

    def forward(self, x, targets):
        return F.cross_entropy(self.out(self.norm(x)).view(-1, V).float(), targets.view(-1))


class Gpt(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.streams = kind == "mhc"
        join = Manifold if self.streams else Residual
        self.embedding, self.head = nn.Embedding(V, D), Head()
        self.blocks = nn.ModuleList(sum(([join(Attention()), join(FeedForward())] for _ in range(L)), []))

    def forward(self, tokens, targets):
        x = self.embedding(tokens).bfloat16()
        if self.streams:
            x = x.unsqueeze(2).expand(-1, -1, n, -1).contiguous()
        for block in self.blocks:
            x = block(x)
        if self.streams:
            x = x.float().mean(2).bfloat16()
        return self.head(x, targets)


torch.manual_seed(0)
model = Gpt(size["kind"]).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=device == "cuda")
if device == "cuda":  # a sublayer is compiled once for all layers
    for block in model.blocks:
        block.compile(dynamic=False)
    model.head.compile(dynamic=False)
tokens, targets = (torch.randint(0, V, (B, T), device=device) for _ in range(2))


def step():
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device, dtype=torch.bfloat16):
        loss = model(tokens, targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss


for _ in range(3):
    loss = step()
loss.item()
times = []
for _ in range(size["rounds"]):
    started = time.perf_counter()
    step().item()
    times.append(1e3 * (time.perf_counter() - started))
peak = torch.cuda.max_memory_allocated() if device == "cuda" else 0
print(json.dumps({"versions": f"PyTorch {torch.__version__}, torch.compile, {device}", "ms": times, "bytes": peak}))
