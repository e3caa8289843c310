// The host and the kernels mean the same place by the same name: for every word of every signature the class that the
// kernels read gives what the host has written under that name.

import { beforeAll, describe, expect, it, test } from "vitest";
import { compileAssemblyScript } from "../../../scripts/asc.ts";
import { argumentClasses } from "../../../scripts/kernel-arguments.ts";
import { writeArguments } from "../../../src/runtime/wasm/call.ts";
import { nodeHost } from "../../../src/runtime/wasm/node/host.ts";
import { type Signature, signatures } from "../../../src/runtime/wasm/signatures.ts";

const table: Readonly<Record<string, Signature>> = signatures;
const ADDRESS = 4096;

/** For a kernel whose name is not known when this is compiled. */
const write = writeArguments as (
  memory: ArrayBuffer,
  address: number,
  kernel: string,
  pointers: object,
  words: object,
) => void;

const className = (kernel: string): string => kernel[0]!.toUpperCase() + kernel.slice(1);
const isList = (key: string): boolean => key.startsWith("...");
const plain = (key: string): string => key.replace("...", "").replace("?", "");

/** AssemblyScript functions "kernel_name" that give what a kernel finds under the name. */
function readers(kernel: string, { pointers, words }: Signature): string[] {
  const name = className(kernel);
  const list = Object.keys(pointers).find(isList);
  const inWords =
    list === undefined ? `changetype<${name}Arguments>(at)` : `changetype<${name}Words>(afterList(first))`;
  const first = list === undefined ? "" : `const first = changetype<${name}Arguments>(at).${plain(list)}; `;
  const reader = (key: string, expression: string): string =>
    `export function ${kernel}_${plain(key)}(at: usize): f64 { ${first}return <f64>${expression}; }`;
  const listsOfWords = Object.keys(words).filter(isList);
  return [
    ...Object.keys(pointers).map((key) =>
      reader(key, isList(key) ? "load<i32>(first + 4)" : `changetype<${name}Arguments>(at).${plain(key)}`),
    ),
    // Of lists of words, the class has the first.
    ...Object.keys(words)
      .filter((key) => !isList(key) || key === listsOfWords[0])
      .map((key) => reader(key, isList(key) ? `load<i32>(${inWords}.${plain(key)} + 4)` : `${inWords}.${plain(key)}`)),
  ];
}

describe("the words of a call", () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  let found: Readonly<Record<string, (address: number) => number>>;
  beforeAll(async () => {
    const entries = Object.entries(table);
    const imports = entries.flatMap(([kernel, { pointers }]) => [
      `${className(kernel)}Arguments`,
      ...(Object.keys(pointers).some(isList) ? [`${className(kernel)}Words`] : []),
    ]);
    const files: Readonly<Record<string, string>> = {
      "entry.ts": [
        `import { afterList, ${imports.join(", ")} } from "./arguments";`,
        ...entries.flatMap(([kernel, signature]) => readers(kernel, signature)),
      ].join("\n"),
      "arguments.ts": argumentClasses(table, 1),
    };
    let bytes = new Uint8Array();
    await compileAssemblyScript(["entry.ts", "--outFile", "out.wasm", "--runtime", "stub", "--importMemory"], {
      readFile: (name) => files[name] ?? null,
      writeFile(name, contents) {
        if (name.endsWith(".wasm")) bytes = Uint8Array.from(contents as Uint8Array);
      },
      listFiles: () => null,
    });
    const { instance } = await WebAssembly.instantiate(bytes, { env: { memory, abort() {} } });
    found = instance.exports as unknown as typeof found;
  }, 60_000);

  it.each(Object.keys(table))("of %s", (kernel) => {
    const { pointers, words } = table[kernel]!;
    let value = 16;
    const next = (key: string): number | number[] => (isList(key) ? [(value += 4), (value += 4)] : (value += 4));
    const given = (keys: object): Record<string, number | number[]> =>
      Object.fromEntries(Object.keys(keys).map((key) => [plain(key), next(key)]));
    const [addresses, scalars] = [given(pointers), given(words)];
    write(memory.buffer, ADDRESS, kernel, addresses, scalars);
    let read = 0;
    for (const [name, expected] of Object.entries({ ...addresses, ...scalars })) {
      const reader = found[`${kernel}_${name}`];
      if (!reader) continue;
      read++;
      expect(reader(ADDRESS), name).toBe([expected].flat().at(-1));
    }
    // All but a second list of words, whose beginning the kernel finds itself.
    expect(read).toBeGreaterThanOrEqual(Object.keys(addresses).length + Object.keys(scalars).length - 1);
  });
});

test("every kernel has a signature, and every signature a kernel", async () => {
  const own = [
    "currentCall",
    "joinProgram",
    "openProgram",
    "panelWidth",
    "runOne",
    "setPanelWidth",
    "startProgram",
    "workerLoop",
  ];
  const exported = WebAssembly.Module.exports((await nodeHost.loadKernels("simd")).module).flatMap(({ kind, name }) =>
    kind === "function" ? [name] : [],
  );
  expect(exported.filter((name) => !own.includes(name)).sort()).toEqual(Object.keys(table).sort());
});

test("a signature that cannot lie in memory as it is written is refused", () => {
  const after = { k: { pointers: {}, words: { "...sizes": "i32", n: "i32" } } } as const;
  expect(() => argumentClasses(after, 1)).toThrow(/KArguments\.n follows the list \.\.\.sizes/);
  const odd = { k: { pointers: { x: "[]" }, words: { ratio: "f64" } } } as const;
  expect(() => argumentClasses(odd, 1)).toThrow(/KArguments\.ratio must lie at a multiple of 8 bytes/);
});
