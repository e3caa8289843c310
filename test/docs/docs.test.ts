// The documentation is what the sources say, and its links lead somewhere.

import { existsSync, globSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { apiPages, exampleOf, folder } from "../../scripts/api-pages.ts";
import { drawing, drawRooms } from "../../scripts/draw-rooms.ts";
import { publicEntries, root } from "../../scripts/public-exports.ts";

const read = (file: string): string => readFileSync(path.join(root, file), "utf8");
const documents = [
  "README.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "bench/README.md",
  ...globSync("docs/**/*.md", { cwd: root }),
];
/** Lines of code of the first example, without blank lines and comments. */
const EXAMPLE_LINES = 25;
const entries = publicEntries();
const groups = entries.flatMap((entry) => entry.groups);
const exports = groups.flatMap((group) => group.exports);

test("docs/api is made from the sources as they are (npm run docs)", () => {
  const pages = apiPages(entries);
  for (const [file, text] of pages) {
    expect(existsSync(path.join(root, file)) && read(file) === text, `${file} is out of date: npm run docs`).toBe(true);
  }
  expect(globSync(`${folder}/*`, { cwd: root }).sort()).toEqual([...pages.keys()].sort());
});

test("the drawing of the rooms is what the imports say (npm run docs)", () => {
  expect(read(drawing)).toBe(drawRooms());
});

test("the README is short, and so is its example", () => {
  const readme = read("README.md");
  expect(readme.split("\n").length).toBeLessThanOrEqual(120);
  const [, example = ""] = /```ts\n([^]*?)```/.exec(readme) ?? [];
  const code = example.split("\n").filter((line) => line.trim() !== "" && !line.trim().startsWith("//"));
  expect(code.length).toBeGreaterThan(0);
  expect(code.length).toBeLessThanOrEqual(EXAMPLE_LINES);
});

test("a name has one entry, but for what pages have in place of it, and the root of the package has at most 120", () => {
  const names = exports.map(({ name }) => name);
  expect(names.filter((name, index) => names.indexOf(name) !== index).sort()).toEqual(["listRuntimes", "openRuntime"]);
  const front = entries.find(({ name }) => name === "birkhoff")!;
  expect(front.groups.flatMap((group) => group.exports).length).toBeLessThanOrEqual(120);
});

test("every example of docs/api belongs to a page", () => {
  expect(globSync("examples/api/*.ts", { cwd: root }).sort()).toEqual(groups.map(exampleOf).sort());
});

test("every public export has a docstring", () => {
  expect(exports.filter(({ doc }) => !doc?.text).map(({ file, name }) => `${file} ${name}`)).toEqual([]);
});

test("docstrings name parameters that exist", () => {
  for (const { name, doc, parameters } of exports) {
    // A parameter that is taken apart in the signature may be called anything.
    if (parameters.includes(undefined)) continue;
    const documented = (doc?.tags ?? []).flatMap(({ tag, text }) => (tag === "param" ? text.split(/\s/, 1) : []));
    expect(parameters, name).toEqual(expect.arrayContaining(documented));
  }
});

test("every page of docs is linked from docs/README.md", () => {
  const linked = new Set(linksOf("docs/README.md").map(({ file }) => file));
  const pages = documents.filter((file) => file.startsWith("docs/") && !file.startsWith(`${folder}/`));
  expect(pages.filter((file) => file !== "docs/README.md" && !linked.has(file))).toEqual([]);
  expect(linked).toContain(`${folder}/README.md`);
});

test.for(documents)("%s has no dead links", (document) => {
  for (const { file, anchor } of linksOf(document)) {
    expect(existsSync(path.join(root, file)), `${document} links to ${file}`).toBe(true);
    if (anchor && file.endsWith(".md"))
      expect(anchorsOf(file), `${document} links to ${file}#${anchor}`).toContain(anchor);
  }
});

test.for(documents)("%s names files that exist", (document) => {
  const named = [...read(document).matchAll(/`(?:npx node )?((?:[\w.-]+\/)+[\w.-]+\.(?:ts|svelte|py))[` ]/g)];
  for (const [, file = ""] of named) {
    const places = ["", "src/", "bench/", "src/runtime/wasm/", path.posix.dirname(document) + "/"];
    expect(
      places.some((place) => existsSync(path.join(root, place, file))),
      `${document} names ${file}`,
    ).toBe(true);
  }
});

interface Link {
  /** Relative to the repository. */
  readonly file: string;
  readonly anchor: string | undefined;
}

/** The relative links of a Markdown file, outside of code. */
function linksOf(document: string): Link[] {
  const text = read(document)
    .replace(/^```[^]*?^```/gm, "")
    .replace(/`[^`\n]*`/g, "`code`");
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [file = "", anchor] = target.split("#");
    return [{ file: file === "" ? document : path.posix.join(path.posix.dirname(document), file), anchor }];
  });
}

/** The anchors of a Markdown file's headings as GitHub makes them. */
function anchorsOf(file: string): string[] {
  const seen = new Map<string, number>();
  const headings = read(file)
    .replace(/^```[^]*?^```/gm, "")
    .matchAll(/^#+ (.+)$/gm);
  return Array.from(headings, ([, heading = ""]) => {
    const words = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = words.replace(/[^\p{L}\p{N}\-_ ]/gu, "").replaceAll(" ", "-");
    const count = seen.get(anchor) ?? 0;
    seen.set(anchor, count + 1);
    return count === 0 ? anchor : `${anchor}-${count}`;
  });
}
