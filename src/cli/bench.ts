// birkhoff bench: the figures of this library against its peers. They live in the repository's bench/.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { listenForInterrupt } from "./interrupt.ts";
import { wholeNumber } from "./options.ts";

export const benchCommand: Command = new Command("bench")
  .description("Measure speed and memory against PyTorch, numpy and jax-js, interleaved in one run.")
  .argument("[prefix...]", "only figures whose names start with one of these, such as gemm or step.mhc")
  .option("--json", "print JSON lines: name, value, unit, higher_is_better")
  .option("--rounds <n>", "interleaved rounds of every measurement", wholeNumber(1, 1000))
  .addHelpText(
    "after",
    "\nPeers need Python with torch and numpy; BIRKHOFF_PYTHON names the interpreter. Figures whose peer is missing are skipped. chart.*, manifold.*, mhc.streams.*, cuda.*, mpi.* and serve.* are measured only when named.\n\nExample:\n  birkhoff bench gemm step.residual --json",
  )
  .action(async (prefixes: string[], options: { json?: boolean; rounds?: number }) => {
    const main = new URL("../../bench/main.ts", import.meta.url);
    if (!existsSync(fileURLToPath(main))) {
      throw new Error(
        "The benchmarks and their peers are in the repository, not in the installed package. Clone it, run npm ci, then npx birkhoff bench.",
      );
    }
    if (Number(process.versions.node.split(".")[0]) < 24) {
      throw new Error(
        `The benchmarks need Node 24 or newer; this is Node ${process.version}. In the repository, npx birkhoff bench brings its own Node.`,
      );
    }
    const { bench } = (await import(main.href)) as {
      bench(
        prefixes: readonly string[],
        options: { json?: boolean; rounds?: number; signal: AbortSignal },
      ): Promise<void>;
    };
    const { signal } = listenForInterrupt();
    await bench(prefixes, { ...options, signal });
    // What was being measured goes on until its round ends.
    if (signal.aborted) process.exit();
  });
