// The built package: in a clone its command runs as it lies, as npx does; installed elsewhere every entry of
// package.json can be imported on this Node, has types, and offers what its source says.

import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PublicEntry, publicEntries } from "../../scripts/public-exports.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const manifest = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")) as {
  bin: { birkhoff: string };
  version: string;
  dependencies: Record<string, string>;
};
const command = path.join(root, manifest.bin.birkhoff);
const built = fs.existsSync(path.join(root, "dist/cli/main.js"));

test.skipIf(!built)("birkhoff --version, by the file itself", () => {
  expect(execFileSync(command, ["--version"], { encoding: "utf8" }).trim()).toBe(manifest.version);
});

test("in a clone that is not built, npx builds nothing and the command says what to do", () => {
  const clone = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-clone-"));
  try {
    for (const file of ["package.json", manifest.bin.birkhoff, "scripts/prepare.js"]) {
      fs.mkdirSync(path.dirname(path.join(clone, file)), { recursive: true });
      fs.copyFileSync(path.join(root, file), path.join(clone, file));
    }
    const env = { ...process.env, npm_command: "exec" };
    execFileSync(process.execPath, ["scripts/prepare.js"], { cwd: clone, env });
    expect(fs.existsSync(path.join(clone, "dist"))).toBe(false);
    const { status, stderr } = spawnSync(process.execPath, [manifest.bin.birkhoff, "train"], {
      cwd: clone,
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "birkhoff: this clone is not built. Run npm ci, which installs and builds.\n",
    });
  } finally {
    fs.rmSync(clone, { recursive: true });
  }
});

describe.skipIf(!built)("installed in another place", () => {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-dist-"));
  const entries = publicEntries();
  beforeAll(() => {
    const packed = execFileSync("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", place], {
      cwd: root,
      encoding: "utf8",
    });
    const modules = path.join(place, "node_modules");
    fs.mkdirSync(path.join(modules, "birkhoff"), { recursive: true });
    const archive = path.join(place, packed.trim());
    execFileSync("tar", ["-xzf", archive, "-C", path.join(modules, "birkhoff"), "--strip-components", "1"]);
    for (const name of [...Object.keys(manifest.dependencies), "@types"]) {
      fs.mkdirSync(path.dirname(path.join(modules, name)), { recursive: true });
      fs.symlinkSync(path.join(root, "node_modules", name), path.join(modules, name));
    }
    fs.writeFileSync(path.join(place, "package.json"), '{ "type": "module" }');
  });
  afterAll(() => fs.rmSync(place, { recursive: true }));

  test("every entry is there, with the values of its source", () => {
    const script = `
      const names = ${JSON.stringify(entries.map(({ name }) => name))};
      const found = await Promise.all(names.map(async (name) => [name, Object.keys(await import(name)).sort()]));
      process.stdout.write(JSON.stringify(found));`;
    fs.writeFileSync(path.join(place, "import.js"), script);
    const found = JSON.parse(
      execFileSync(process.execPath, ["import.js"], { cwd: place, encoding: "utf8" }),
    ) as unknown;
    const types = new Set(["interface", "type"]);
    const values = ({ groups }: PublicEntry): string[] =>
      groups.flatMap((group) => group.exports.flatMap((one) => (types.has(one.kind) ? [] : [one.name])));
    const expected = entries.map((entry) => {
      const included = entries.filter(({ name }) => entry.includes.includes(name)).flatMap(values);
      return [entry.name, [...new Set([...values(entry), ...included])].sort()];
    });
    expect(found).toEqual(expected);
  });

  test("the types of every entry are found and sound", () => {
    const lines = entries.map(({ name }, index) => `export * as entry${index} from "${name}";`);
    fs.writeFileSync(path.join(place, "types.ts"), lines.join("\n"));
    const tsc = path.join(root, "node_modules/.bin/tsc");
    const options = "--noEmit --strict --module nodenext --target es2024 --lib es2024,esnext,dom --types node";
    const { error } = attempt(() => execFileSync(tsc, [...options.split(" "), "types.ts"], { cwd: place }));
    expect(error).toBeUndefined();
  });

  test("a graph compiled by the package runs on its kernels", () => {
    const script = `
      import { input, openRuntime } from "birkhoff";
      import { sum } from "birkhoff/ops";
      const x = input("x", [3]);
      const runtime = await openRuntime({ runtime: "wasm", threads: 1 });
      const program = runtime.compile({ outputs: { total: sum(x) } });
      runtime.write(x, [1, 2, 4]);
      program.run();
      process.stdout.write(String((await program.read("total"))[0]));
      runtime.close();`;
    fs.writeFileSync(path.join(place, "run.js"), script);
    expect(execFileSync(process.execPath, ["run.js"], { cwd: place, encoding: "utf8" })).toBe("7");
  });
});

/** What a command wrote before it failed. */
function attempt(action: () => void): { error: string | undefined } {
  try {
    action();
    return { error: undefined };
  } catch (error) {
    return { error: String((error as { stdout?: Buffer }).stdout) };
  }
}
