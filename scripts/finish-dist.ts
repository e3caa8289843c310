// What the TypeScript compiler leaves undone in dist: the built kernels travel with the compiled library
// (src/runtime/wasm/build -> dist/runtime/wasm/build), declarations that no public entry leads to are taken out, files are
// indented by tabs and written tightly, which takes an eighth of the package's code, and the command can be executed. npx keeps a link to the
// command of a clone for good: one that was made when dist/cli/main.js was the command still starts it.

import { chmod, cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { format } from "oxfmt";

const root = new URL("..", import.meta.url);
const dist = fileURLToPath(new URL("dist", root));
await cp(new URL("src/runtime/wasm/build", root), path.join(dist, "runtime/wasm/build"), { recursive: true });
await removePrivateDeclarations();
await formatTightly();
await chmod(path.join(dist, "cli/main.js"), 0o755);

/** Remove the declarations that nobody who imports a public entry can come to. */
async function removePrivateDeclarations(): Promise<void> {
  const names = await readdir(dist, { recursive: true });
  const declarations = new Set(names.filter((name) => name.endsWith(".d.ts")).map((name) => path.join(dist, name)));
  const reached = new Set<string>();
  const reach = async (file: string): Promise<void> => {
    if (reached.has(file) || !declarations.has(file)) return;
    reached.add(file);
    const text = await readFile(file, "utf8");
    for (const [, target = ""] of text.matchAll(/(?:from |import\(|import )"(\.[^"]+)"/g))
      await reach(path.resolve(path.dirname(file), target.replace(/\.[jt]s$/, ".d.ts")));
  };
  // Public entries are the files directly in dist.
  for (const file of declarations) if (path.dirname(file) === dist) await reach(file);
  for (const file of declarations) if (!reached.has(file)) await rm(file);
}

/** Write the scripts and declarations again with a tab for each step of indentation, where the compiler has four spaces, and no more marks than they need. */
async function formatTightly(): Promise<void> {
  for (const name of await readdir(dist, { recursive: true })) {
    if (!/\.(js|d\.ts)$/.test(name)) continue;
    const file = path.join(dist, name);
    const { code, errors } = await format(file, await readFile(file, "utf8"), {
      useTabs: true,
      printWidth: 120,
      objectWrap: "collapse",
      trailingComma: "none",
      bracketSpacing: false,
    });
    if (errors.length > 0) throw new Error(`${file}: ${errors[0]!.message}`);
    await writeFile(file, code);
  }
}
