// Question: is this checkout as fast as another one, for example the commit before?
//
//   node bench/against.ts ../other step mhc.overhead generate page --turns 5 --rounds 2
//
// The two checkouts take turns. Each turn is a whole `birkhoff bench` of one checkout, in its own processes, so a slow
// minute of the machine slows both alike. Every figure is made from two sides, and each side is compared: the ratio of
// the medians over the turns, this checkout divided by the other. A renamed figure is found by its older name.
// What each turn measured is written to standard error at once; the table comes last.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "./lib/interleave.ts";
import type { Figure, Side } from "./lib/report.ts";

/** The names of figures here, and their earlier names. */
const RENAMED: readonly (readonly [now: string, before: string])[] = [[".hc.", ".hyper."]];

/** Every side of every figure of one `birkhoff bench`, by "figure, side". */
async function benchOnce(checkout: string, prefixes: readonly string[], rounds: string): Promise<Map<string, Side>> {
  const main = path.join(checkout, "dist/cli/main.js");
  const child = spawn(process.execPath, [main, "bench", ...prefixes, "--json", "--rounds", rounds], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const sides = new Map<string, Side>();
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    const figure = JSON.parse(line) as Figure;
    if ("skipped" in figure) continue;
    const name = RENAMED.reduce((text, [now, before]) => text.replace(before, now), figure.name);
    if (figure.ours) sides.set(`${name}, ours`, figure.ours);
    if (figure.theirs) sides.set(`${name}, theirs`, figure.theirs);
    if (!figure.ours) sides.set(name, { label: name, value: figure.value, unit: figure.unit });
  }
  const code = await closed;
  if (code !== 0) throw new Error(`birkhoff bench of ${checkout} ended with ${code}; build it first (npm run build).`);
  return sides;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { turns: { type: "string", default: "5" }, rounds: { type: "string", default: "2" } },
});
const [other, ...prefixes] = positionals;
if (other === undefined || prefixes.length === 0) {
  throw new Error(
    "against: no checkout or no figures were given; give the folder of another checkout, already built, and the first letters of the figures to compare.",
  );
}
const here = fileURLToPath(new URL("..", import.meta.url));
const before = (prefix: string): string => RENAMED.reduce((text, [now, then]) => text.replace(now, then), prefix);

const taken = new Map<string, { unit: string; here: number[]; other: number[] }>();
for (let turn = 0; turn < Number(values.turns); turn++) {
  const both = [
    { side: "here", sides: await benchOnce(here, prefixes, values.rounds) },
    { side: "other", sides: await benchOnce(path.resolve(other), prefixes.map(before), values.rounds) },
  ] as const;
  for (const { side, sides } of both) {
    for (const [name, { value, unit }] of sides) {
      process.stderr.write(`turn ${turn + 1}, ${side}: ${name} ${value.toPrecision(4)} ${unit}\n`);
      const entry = taken.get(name) ?? { unit, here: [], other: [] };
      entry[side].push(value);
      taken.set(name, entry);
    }
  }
}
process.stdout.write("| figure | this checkout | the other | ratio |\n| --- | --- | --- | --- |\n");
for (const [name, { unit, here, other }] of taken) {
  if (here.length === 0 || other.length === 0) continue;
  const [a, b] = [median(here), median(other)];
  process.stdout.write(
    `| \`${name}\` | ${a.toPrecision(4)} ${unit} | ${b.toPrecision(4)} ${unit} | ${(a / b).toFixed(3)} |\n`,
  );
}
