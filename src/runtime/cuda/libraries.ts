// Question: where are the libraries of CUDA?
//
// Three are needed: libcuda, which comes with the driver; libnvrtc, which compiles; libcublasLt, which multiplies. The
// last two come with the CUDA toolkit or with PyTorch's wheels. Nothing is opened here, and each place that was looked
// at can be said.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { attempt } from "../../files/errors.ts";

/** The environment variable that names folders to look in first, between colons. */
export const LIBRARIES_VARIABLE = "BIRKHOFF_CUDA_LIBRARIES";

/** What each library is called, and what brings it. */
export const libraryKinds = {
  driver: {
    file: "libcuda.so",
    brings: "It comes with NVIDIA's driver: install that, such as apt-get install nvidia-driver-580.",
  },
  compiler: { file: "libnvrtc.so", brings: "Install it: pip install nvidia-cuda-nvrtc, or the CUDA toolkit." },
  products: { file: "libcublasLt.so", brings: "Install it: pip install nvidia-cublas, or the CUDA toolkit." },
} as const;

export type LibraryKind = keyof typeof libraryKinds;

/** Files of each kind, the best first; and where was looked. */
export interface LibrariesFound extends Readonly<Record<LibraryKind, readonly string[]>> {
  readonly folders: readonly string[];
}

const split = (variable: string | undefined): string[] => (variable ?? "").split(path.delimiter).filter(Boolean);

function list(folder: string): string[] {
  let names: string[] = [];
  attempt(() => (names = readdirSync(folder)));
  return names.sort();
}

/** The folders that Python's packages of NVIDIA have for libraries, in a folder of packages. */
const wheelFolders = (packages: string): string[] =>
  list(path.join(packages, "nvidia")).map((name) => path.join(packages, "nvidia", name, "lib"));

/** Folders of packages below a folder that holds python3.x. */
const packageFolders = (lib: string): string[] =>
  list(lib)
    .filter((name) => name.startsWith("python3"))
    .flatMap((name) => ["site-packages", "dist-packages"].map((packages) => path.join(lib, name, packages)));

/** Where Python looks for packages; asked only where nothing else has helped, for it must be started. */
function pythonFolders(): string[] {
  let text = "";
  attempt(() => {
    text = execFileSync("python3", ["-c", "import sys; print('\\n'.join(sys.path))"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 10_000,
    });
  });
  return text.split("\n").filter((folder) => folder.endsWith("-packages"));
}

/** The folders to look in, in order, each when it is asked for. */
export function* foldersToTry(environment: NodeJS.ProcessEnv): Generator<string> {
  yield* split(environment[LIBRARIES_VARIABLE]);
  yield* split(environment.LD_LIBRARY_PATH);
  const toolkits = [environment.CUDA_HOME, environment.CUDA_PATH, "/usr/local/cuda"].filter(
    (folder) => folder !== undefined,
  );
  const versions = list("/usr/local")
    .filter((name) => /^cuda-\d/.test(name))
    .reverse();
  for (const toolkit of [...toolkits, ...versions.map((name) => path.join("/usr/local", name))]) {
    yield path.join(toolkit, "lib64");
    yield path.join(toolkit, "targets", `${os.arch() === "arm64" ? "sbsa" : "x86_64"}-linux`, "lib");
  }
  for (const root of [environment.VIRTUAL_ENV, environment.CONDA_PREFIX].filter((folder) => folder !== undefined)) {
    yield path.join(root, "lib");
    yield* packageFolders(path.join(root, "lib")).flatMap(wheelFolders);
  }
  for (const lib of [path.join(os.homedir(), ".local", "lib"), "/usr/local/lib", "/usr/lib"])
    yield* packageFolders(lib).flatMap(wheelFolders);
  const processor = os.arch() === "arm64" ? "aarch64" : "x86_64";
  yield* [`/usr/lib/${processor}-linux-gnu`, "/usr/lib64", "/usr/lib/wsl/lib", "/usr/local/nvidia/lib64", "/usr/lib"];
  yield* pythonFolders().flatMap(wheelFolders);
}

/** The number after ".so.", such as 13. */
export const majorOf = (file: string): number | undefined => {
  const found = /\.so\.(\d+)/.exec(path.basename(file))?.[1];
  return found === undefined ? undefined : Number(found);
};

/** The files of a library in a folder: one of each major version, the newest first. */
export function filesIn(folder: string, file: string): string[] {
  const names = list(folder).filter(
    (name) => name === file || (name.startsWith(`${file}.`) && /^[\d.]+$/.test(name.slice(file.length + 1))),
  );
  const byMajor = new Map<number | undefined, string>();
  for (const name of names.sort((a, b) => a.length - b.length))
    if (!byMajor.has(majorOf(name))) byMajor.set(majorOf(name), name);
  return [...byMajor]
    .filter(([major]) => major !== undefined || byMajor.size === 1)
    .sort(([a = 0], [b = 0]) => b - a)
    .map(([, name]) => path.join(folder, name));
}

/** Look for the libraries: in all folders that are named, then in the others until each has been found. */
export function findLibraries(environment: NodeJS.ProcessEnv = process.env): LibrariesFound {
  const found: Record<LibraryKind, string[]> = { driver: [], compiler: [], products: [] };
  const folders: string[] = [];
  for (const folder of foldersToTry(environment)) {
    if (folders.includes(folder)) continue;
    folders.push(folder);
    for (const kind of Object.keys(found) as LibraryKind[])
      found[kind].push(...filesIn(folder, libraryKinds[kind].file));
    if (
      Object.values(found).every((files) => files.length > 0) &&
      folders.length > split(environment[LIBRARIES_VARIABLE]).length
    )
      break;
  }
  return { ...found, folders };
}

/** What to say of a library that is not there. */
export function missing(kind: LibraryKind, { folders }: LibrariesFound): Error {
  const { file, brings } = libraryKinds[kind];
  return new Error(
    `cuda: ${file} is not there. ${brings} If it lies elsewhere, set ${LIBRARIES_VARIABLE} to its folder. Looked in: ${folders.join(", ")}.`,
  );
}

/** Whether Linux shows an NVIDIA GPU, or somebody says where the libraries are: else there is nothing to open. */
export function showsNvidia(environment: NodeJS.ProcessEnv = process.env): boolean {
  if (process.platform !== "linux") return false;
  if (environment[LIBRARIES_VARIABLE]) return true;
  return ["/dev/nvidiactl", "/dev/nvidia0", "/usr/lib/wsl/lib/libcuda.so.1"].some((device) => existsSync(device));
}
