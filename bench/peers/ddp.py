"""What does a step of PyTorch's DistributedDataParallel take, with two processes over gloo?

  python3 ddp.py --connection mhc --layers 4 --channels 256 --heads 8 --tokens 256 --batch 4 \\
      --vocabulary 1024 --threads 1 --rounds 8

The model and the optimizer of model.py; each process has its own batch. The process that is started is rank 0, and
starts the other. It prints the milliseconds of each step as one line of JSON, or {"skipped": "why"}.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

SIZES = {"layers": 4, "channels": 256, "heads": 8, "tokens": 256, "batch": 4, "vocabulary": 1024, "threads": 1,
         "rounds": 8}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--connection", choices=["residual", "hc", "mhc"], default="mhc")
    parser.add_argument("--store")
    for name, size in SIZES.items():
        parser.add_argument("--" + name, type=int, default=size)
    args = parser.parse_args()
    try:
        import torch
        import torch.distributed as dist
        from torch.nn.parallel import DistributedDataParallel
        from model import Trainer
    except ImportError as error:
        return print(json.dumps({"skipped": f"{error}; install torch, or set BIRKHOFF_PYTHON to a Python that has it"}))
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    rank = 0 if args.store is None else 1
    store, other = args.store, None
    if rank == 0:
        store = os.path.join(tempfile.mkdtemp(), "store")
        other = subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "--store", store], stdout=subprocess.DEVNULL)
    dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
    trainer = Trainer(args.connection, False, args.layers, args.channels, args.heads, args.tokens, args.batch,
                      args.vocabulary)
    torch.manual_seed(rank)
    text = torch.randint(args.vocabulary, (args.batch, args.tokens + 1))
    trainer.input, trainer.target = text[:, :-1].contiguous(), text[:, 1:].contiguous()
    trainer.loss = DistributedDataParallel(trainer.model)
    ms = []
    for round in range(-2, args.rounds):
        dist.barrier()
        start = time.perf_counter()
        trainer.step()
        if round >= 0:
            ms.append(1000 * (time.perf_counter() - start))
    dist.destroy_process_group()
    if other is not None:
        other.wait()
        print(json.dumps({"step": ms, "versions": {"torch": torch.__version__}}))


if __name__ == "__main__":
    main()
