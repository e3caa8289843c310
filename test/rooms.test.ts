// The order of the rooms: each imports only from itself and from rooms above it in this list. What runs in a
// browser imports nothing of Node. docs/architecture.md says what each room answers.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const source = fileURLToPath(new URL("../src", import.meta.url));

/** From the ground up. `browser`: all of it, none, or these files; `butFor`: those that are not for a browser. */
const rooms: Readonly<
  Record<string, { readonly browser: boolean | readonly string[]; readonly butFor?: readonly string[] }>
> = {
  basics: { browser: true },
  files: {
    browser: ["errors.ts", "json.ts", "safetensors-format.ts", "safetensors-header.ts", "write-safetensors.ts"],
  },
  graph: { browser: true },
  ops: { browser: true },
  runtime: {
    browser: true,
    butFor: [
      "collective/launched.ts",
      "collective/mpi/",
      "collective/nccl/",
      "collective/open.ts",
      "collective/tcp/",
      "collective/watch/",
      "open.ts",
      "cuda/",
      "wasm/node/",
      "webgpu/node/",
    ],
  },
  connections: { browser: true },
  data: {
    browser: true,
    butFor: [
      "corpus.ts",
      "folder.ts",
      "prepare.ts",
      "read-text.ts",
      "stored/",
      "token-file.ts",
      "tokenizer-file.ts",
      "tokenizer-roles.ts",
    ],
  },
  model: { browser: true },
  stability: { browser: true },
  training: { browser: true },
  runs: { browser: ["names.ts", "record-shapes.ts", "run-files.ts"] },
  interop: { browser: false },
  study: { browser: false },
  evaluation: { browser: false },
  planning: { browser: true, butFor: ["here/", "machine.ts"] },
  report: { browser: false },
  studies: { browser: false },
  serving: { browser: false },
  cli: { browser: false },
};
const order = Object.keys(rooms);
const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
const roomOf = (file: string): string => file.split("/")[0]!;

/** What a file imports: files of src by their path in it, packages by their name. */
function importsOf(file: string): string[] {
  const text = readFileSync(resolve(source, file), "utf8");
  return [...text.matchAll(/^(?:import|export)\b[^;]*?from\s*"([^"]+)"|^import "([^"]+)"|import\("([^"]+)"\)/gm)].map(
    ([, from, bare, lazy]) => {
      const target = (from ?? bare ?? lazy)!;
      return target.startsWith(".") ? relative(source, resolve(source, dirname(file), target)) : target;
    },
  );
}

const isFile = (target: string): boolean => target.endsWith(".ts");

test("every file lies in a known room, or is a public entry", () => {
  expect(files.filter((file) => file.includes("/") && !order.includes(roomOf(file)))).toEqual([]);
});

test("every room has files", () => {
  expect(order.filter((room) => !files.some((file) => roomOf(file) === room))).toEqual([]);
});

test("a room imports only from the rooms above it", () => {
  const wrong = files
    .filter((file) => file.includes("/"))
    .flatMap((file) =>
      importsOf(file)
        .filter((target) => isFile(target) && order.indexOf(roomOf(target)) > order.indexOf(roomOf(file)))
        .map((target) => `${file} imports ${target}`),
    );
  expect(wrong).toEqual([]);
});

test("nothing but the public entries imports a public entry", () => {
  const entries = files.filter((file) => !file.includes("/"));
  const others = files.filter((file) => !entries.includes(file));
  expect(others.flatMap((file) => importsOf(file).filter((target) => entries.includes(target)))).toEqual([]);
});

/** Files of rooms that run in a browser, but for those that are said not to. */
const forBrowsers = files.filter((file) => {
  const room = roomOf(file);
  const { browser = false, butFor = [] } = rooms[room] ?? {};
  if (typeof browser !== "boolean") return browser.some((name) => join(room, name) === file);
  return browser && !butFor.some((name) => file.startsWith(join(room, name)));
});

describe("what runs in a browser", () => {
  test("imports nothing of Node, and no file that does", () => {
    const allowed = new Set(forBrowsers);
    const wrong = forBrowsers
      .filter((file) => !file.startsWith("runtime/wasm/kernels/"))
      .flatMap((file) =>
        importsOf(file)
          .filter((target) => (isFile(target) ? !allowed.has(target) : target.startsWith("node:")))
          .map((target) => `${file} imports ${target}`),
      );
    expect(wrong).toEqual([]);
  });

  test("uses no name that only Node has", () => {
    const wrong = forBrowsers
      .filter((file) => !file.startsWith("runtime/wasm/kernels/"))
      .flatMap((file) => {
        const code = readFileSync(resolve(source, file), "utf8").replaceAll(/\/\/.*|^\s*\/?\*.*/gm, "");
        return [...code.matchAll(/\b(?:Buffer|process)\.\w+|\b(?:setImmediate|require)\(|__dirname/g)].map(
          ([use]) => `${file} uses ${use}`,
        );
      });
    expect(wrong).toEqual([]);
  });

  test("the files that are said to do it, or not to, exist", () => {
    for (const [room, { browser, butFor = [] }] of Object.entries(rooms)) {
      for (const name of [...butFor, ...(typeof browser === "boolean" ? [] : browser)]) {
        const meant = files.filter((file) => file.startsWith(`${room}/${name}`));
        expect(meant, `${room}/${name}`).not.toEqual([]);
      }
    }
  });
});

test("no room knows a machine: runtimes are opened by their name", () => {
  // What plans for all machines; the oracle, which is what the operations mean; and what joins processes, whatever they
  // compute on.
  const common = ["collective", "plan", "planned", "reference"];
  const machine = (target: string): boolean => {
    const [room, folder = "", ...rest] = target.split("/");
    return room === "runtime" && rest.length > 0 && !common.includes(folder);
  };
  const wrong = files
    .filter((file) => file.includes("/") && roomOf(file) !== "runtime")
    .flatMap((file) =>
      importsOf(file)
        .filter((target) => isFile(target) && machine(target))
        .map((target) => `${file} imports ${target}`),
    );
  expect(wrong).toEqual([]);
  expect(files.filter(machine).length).toBeGreaterThan(10);
});

/** Public entries that a browser can load. What they import only when it is asked for may need Node. */
const browserEntries = [
  "browser",
  "conventions",
  "data",
  "index",
  "models",
  "ops",
  "pipelines",
  "stability",
  "training",
];

test.each(browserEntries)("the entry %s loads nothing of Node", (entry) => {
  const seen = new Set<string>();
  const load = (file: string): string[] => {
    if (seen.has(file)) return [];
    seen.add(file);
    const text = readFileSync(resolve(source, file), "utf8");
    const targets = [...text.matchAll(/^(?:import|export)\b(?! type)[^;]*?from\s*"([^"]+)"/gm)].map(
      ([, to = ""]) => to,
    );
    return targets.flatMap((to) => {
      if (to.startsWith(".")) return load(join(dirname(file), to));
      return to.startsWith("node:") ? [`${file} imports ${to}`] : [];
    });
  };
  expect(load(`${entry}.ts`)).toEqual([]);
  expect(seen.size).toBeGreaterThan(1);
});

test("no import goes in a circle", () => {
  const state = new Map<string, "open" | "done">();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      circles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
      return;
    }
    state.set(file, "open");
    for (const target of importsOf(file)) if (isFile(target)) visit(target, [...path, file]);
    state.set(file, "done");
  };
  for (const file of files) visit(file, []);
  expect(circles).toEqual([]);
});

test("the check sees imports at all", () => {
  expect(importsOf("graph/state.ts")).toContain("graph/tensor.ts");
  expect(importsOf("data/corpus.ts")).toContain("node:fs");
});
