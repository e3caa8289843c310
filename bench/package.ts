// Question: how much does the package weigh, and how soon does its command answer?
//
// The package is installed in an empty folder; its size is that of all files which npm puts there. The command is
// `birkhoff --version` in a process of its own, without npx. Bare Node on an empty file, in turns with it, says how
// much of the time is Node's.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { Group } from "./lib/group.ts";
import { installPackage } from "./lib/installed.ts";

const SIZE = "package.installed_mib";
const START = "package.cli_start_seconds";

export const packaged: Group = {
  names: [SIZE, START],
  async *measure(names, { rounds, note }) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-bench-package-"));
    try {
      note("installing the package in an empty folder");
      const installed = installPackage(folder);
      if ("skipped" in installed) {
        for (const name of names) yield { name, ...installed };
        return;
      }
      if (names.includes(SIZE)) {
        const value = installed.bytes / 2 ** 20;
        const ours = { label: installed.packages.join(", "), value, unit: "MiB" };
        yield { name: SIZE, value, unit: "MiB", higher_is_better: false, bar: 10, ours };
      }
      if (!names.includes(START)) return;
      const empty = path.join(folder, "empty.js");
      fs.writeFileSync(empty, "");
      const command: number[] = [];
      const bare: number[] = [];
      for (let round = 0; round < rounds; round++) {
        command.push(seconds(installed.command, "--version"));
        bare.push(seconds(empty));
      }
      const ours = side("birkhoff --version", command);
      const theirs = side("bare Node", bare);
      yield { name: START, value: ours.value, unit: "s", higher_is_better: false, bar: 0.5, ours, theirs };
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  },
};

function seconds(...args: readonly string[]): number {
  const began = performance.now();
  execFileSync(process.execPath, args);
  return (performance.now() - began) / 1000;
}

function side(
  label: string,
  times: readonly number[],
): { label: string; value: number; unit: string; median: number; best: number; samples: number } {
  const ordered = [...times].sort((a, b) => a - b);
  const median = ordered[ordered.length >> 1]!;
  return { label, value: median, unit: "s", median, best: ordered[0]!, samples: times.length };
}
