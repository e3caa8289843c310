"""How does a Python process become a peer that a Node benchmark controls, one line of JSON at a time?

  python3 serve.py step --connection mhc --mode eager --layers 4 --channels 256 --heads 8 \\
      --tokens 256 --batch 8 --vocabulary 1024 --threads 2
  python3 serve.py generate --connection mhc --threads 2
  python3 serve.py serve --clients 16 --written 64 --turns 4 --warm 4 --threads 2
  python3 serve.py moe --model /tmp/model.bin --threads 2
  OPENBLAS_NUM_THREADS=1 python3 serve.py gemm --size 1024 --threads 1
  python3 serve.py sinkhorn --matrices 8192 --tokens first --threads 2

Its first line is {"ready": true, "peer", "versions", "threads", "base_rss_bytes", ...}, or
{"skipped": "why"} when something it needs is missing. Then, for every line {"op": "step", "count": 3} on
standard input (the op is the first argument), it does the work three times and
answers {"ms": [3 times], "peak_rss_bytes", ...}; or {"error": "why"}. It ends with its input.

Between requests it only waits for a line, so that two peers can take turns on one machine.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

sys.dont_write_bytecode = True  # Leave no __pycache__ in the repository.


class Skip(Exception):
    """This machine lacks something the peer needs."""


def say(message: dict) -> None:
    print(json.dumps(message), flush=True)


def memory_bytes(key: str) -> int:
    """VmRSS (now) or VmHWM (peak). Elsewhere than on Linux, the peak stands for both."""
    # Not getrusage on Linux: a child's ru_maxrss starts at its parent's size.
    try:
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith(key + ":"))
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def load(module: str):
    try:
        return __import__(module)
    except ImportError as error:
        raise Skip(f"{module} cannot be imported by {sys.executable} ({error}); install it there, or set "
                   "BIRKHOFF_PYTHON to a Python that has it") from error


# --- step: PyTorch -----------------------------------------------------------------------------


def step(args: argparse.Namespace) -> tuple[dict, Callable[[], dict]]:
    # In-process compilation: no pool of helpers that would outlive this process or share its cores.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    torch = load("torch")
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    base_rss_bytes = memory_bytes("VmRSS")
    from model import Trainer

    start = time.perf_counter()
    trainer = Trainer(args.connection, args.mode == "compile", args.layers, args.channels, args.heads,
                      args.tokens, args.batch, args.vocabulary)
    try:
        first_loss = trainer.step()
    except Exception as error:
        if args.mode == "eager":
            raise
        reason = str(error).strip().splitlines()[0][:300]
        raise Skip(f"torch.compile failed; it needs a C++ compiler ({type(error).__name__}: {reason})") from error

    hello = {
        "peer": "pytorch " + args.mode,
        "versions": {"torch": torch.__version__},
        "threads": torch.get_num_threads(),
        "base_rss_bytes": base_rss_bytes,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "cold_seconds": time.perf_counter() - start,
        "loss": first_loss,
    }
    return hello, lambda: {"loss": trainer.step()}


# --- moe: PyTorch ------------------------------------------------------------------------------


def moe(args: argparse.Namespace) -> tuple[dict, Callable[[], dict]]:
    """Steps of the model in a file, on the same batches as our-moe.ts draws."""
    torch = load("torch")
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    base_rss_bytes = memory_bytes("VmRSS")
    from mixture import Trainer

    trainer = Trainer(args.model)
    hello = {
        "peer": "pytorch eager",
        "versions": {"torch": torch.__version__},
        "threads": torch.get_num_threads(),
        "base_rss_bytes": base_rss_bytes,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "loss": trainer.step(),
    }
    return hello, lambda: {"loss": trainer.step()}


# --- generate: PyTorch -------------------------------------------------------------------------


def generate(args: argparse.Namespace) -> tuple[dict, Callable[[], dict]]:
    torch = load("torch")
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    base_rss_bytes = memory_bytes("VmRSS")
    from model import Writer

    writer = Writer(args.connection, args.layers, args.channels, args.heads, args.tokens, args.vocabulary)
    writer.write()
    hello = {
        "peer": "pytorch eager",
        "versions": {"torch": torch.__version__},
        "threads": torch.get_num_threads(),
        "base_rss_bytes": base_rss_bytes,
        "parameters": sum(p.numel() for p in writer.model.parameters()),
    }
    return hello, lambda: {"token_ms": [1000 * seconds for seconds in writer.write()]}


# --- transformers: generate --------------------------------------------------------------------


def transformers(args: argparse.Namespace) -> tuple[dict, Callable[[], dict]]:
    """All clients' prompts as one batch, which starts and ends together: the most that `generate` can do."""
    torch = load("torch")
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    library = load("transformers")
    base_rss_bytes = memory_bytes("VmRSS")
    library.logging.set_verbosity_error()
    torch.manual_seed(1)
    model = library.LlamaForCausalLM(library.LlamaConfig(
        vocab_size=args.vocabulary, hidden_size=args.channels, num_hidden_layers=args.layers,
        num_attention_heads=args.heads, num_key_value_heads=args.heads,
        intermediate_size=64 * -(-8 * args.channels // (3 * 64)), max_position_embeddings=args.tokens,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )).eval()
    prompts = torch.tensor([[(7 * i + 3 + 31 * client) % args.vocabulary for i in range(args.prompt)]
                            for client in range(args.clients)])
    mask = torch.ones_like(prompts)

    def turn() -> int:
        with torch.inference_mode():
            texts = model.generate(prompts, attention_mask=mask, do_sample=False, max_new_tokens=args.written,
                                   min_new_tokens=args.written)
        return int(texts.numel() - prompts.numel())

    def work() -> dict:
        return {"written": sum(turn() for _ in range(args.turns))}

    warm = time.perf_counter() + args.warm
    turn()
    while time.perf_counter() < warm:
        turn()
    hello = {
        "peer": "transformers",
        "versions": {"transformers": library.__version__, "torch": torch.__version__},
        "threads": torch.get_num_threads(),
        "base_rss_bytes": base_rss_bytes,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return hello, work


# --- gemm: numpy -------------------------------------------------------------------------------


def gemm(args: argparse.Namespace) -> tuple[dict, Callable[[], dict]]:
    """C = A B in float32. A and B hold small integers, so that every engine's C is exact and the same."""
    # OpenBLAS reads its thread count once, when numpy is loaded; the parent must have set it.
    if os.environ.get("OPENBLAS_NUM_THREADS") != str(args.threads):
        raise SystemExit(f"set OPENBLAS_NUM_THREADS={args.threads} in the peer's environment before it starts")
    numpy = load("numpy")
    base_rss_bytes = memory_bytes("VmRSS")
    n = args.size
    i, j = numpy.indices((n, n), sparse=True)
    a = ((7 * i + 3 * j) % 13 - 6).astype(numpy.float32)
    b = ((5 * i + 11 * j) % 17 - 8).astype(numpy.float32)
    c = numpy.empty((n, n), numpy.float32)
    blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    hello = {
        "peer": "numpy",
        "versions": {"numpy": numpy.__version__, blas["name"]: blas["version"]},
        "threads": args.threads,
        "base_rss_bytes": base_rss_bytes,
    }

    def work() -> dict:
        numpy.matmul(a, b, out=c)
        return {"corner": float(c[-1, -1])}

    work()
    return hello, work


# --- sinkhorn: PyTorch -------------------------------------------------------------------------


def sinkhorn(args: argparse.Namespace) -> tuple[dict, Callable[[], dict]]:
    """The eager loop of mHC, 20 iterations on 4 x 4 matrices, and its gradient by autograd."""
    torch = load("torch")
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    base_rss_bytes = memory_bytes("VmRSS")
    from model import sinkhorn as normalise

    entry = torch.arange(16 * args.matrices)
    matrix = entry // 16
    axes = (-2, -1) if args.tokens == "first" else (0, 1)

    def values(numbers):
        tensor = numbers.float().view(-1, 4, 4)
        return tensor if args.tokens == "first" else tensor.permute(1, 2, 0).contiguous()

    logits = values(((7 * entry + 3 * matrix) % 13 - 6) / 4).requires_grad_()
    gradient = values(((5 * entry + 11 * matrix) % 17 - 8) / 8)
    last = (-1, 3, 3) if args.tokens == "first" else (3, 3, -1)
    hello = {
        "peer": f"pytorch eager, tokens {args.tokens}",
        "versions": {"torch": torch.__version__},
        "threads": torch.get_num_threads(),
        "base_rss_bytes": base_rss_bytes,
    }

    def work() -> dict:
        (found,) = torch.autograd.grad(normalise(logits, *axes), logits, gradient)
        return {"corner": float(found[last])}

    work()
    return hello, work


# --- the protocol ------------------------------------------------------------------------------

OPERATIONS = {"step": step, "moe": moe, "generate": generate, "serve": transformers,
              "gemm": gemm, "sinkhorn": sinkhorn}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="op", required=True)
    steps = commands.add_parser("step")
    steps.add_argument("--connection", choices=["residual", "hc", "mhc"], default="residual")
    steps.add_argument("--mode", choices=["eager", "compile"], default="eager")
    sizes = {"layers": 4, "channels": 256, "heads": 8, "tokens": 256, "batch": 8, "vocabulary": 1024, "threads": 2}
    for name, size in sizes.items():
        steps.add_argument("--" + name, type=int, default=size)
    mixtures = commands.add_parser("moe")
    mixtures.add_argument("--model", required=True)
    mixtures.add_argument("--threads", type=int, default=2)
    generates = commands.add_parser("generate")
    generates.add_argument("--connection", choices=["residual", "hc", "mhc"], default="residual")
    for name, size in sizes.items():
        if name != "batch":
            generates.add_argument("--" + name, type=int, default=size)
    serves = commands.add_parser("serve")
    for name, size in {**sizes, "clients": 16, "prompt": 32, "written": 64, "turns": 1, "warm": 0}.items():
        if name != "batch":
            serves.add_argument("--" + name, type=int, default=size)
    gemms = commands.add_parser("gemm")
    gemms.add_argument("--size", type=int, default=1024)
    gemms.add_argument("--threads", type=int, default=1)
    sinkhorns = commands.add_parser("sinkhorn")
    sinkhorns.add_argument("--matrices", type=int, default=8192)
    sinkhorns.add_argument("--tokens", choices=["first", "last"], default="first")
    sinkhorns.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def answer(request: dict, op: str, work: Callable[[], dict]) -> dict:
    if request.get("op") != op:
        return {"error": f"this peer does {op!r}, not {request.get('op')!r}"}
    ms, result = [], {}
    for _ in range(request.get("count", 1)):
        start = time.perf_counter()
        result = work()
        ms.append(1000 * (time.perf_counter() - start))
    return {"ms": ms, **result, "peak_rss_bytes": memory_bytes("VmHWM")}


def main() -> None:
    args = arguments()
    try:
        hello, work = OPERATIONS[args.op](args)
    except Skip as skip:
        return say({"skipped": str(skip)})
    say({"ready": True, **hello, "versions": {"python": sys.version.split()[0], **hello["versions"]}})
    for line in sys.stdin:
        say(answer(json.loads(line), args.op, work))


if __name__ == "__main__":
    main()
