// One connection, one colour: in the table, and in every picture that the documentation shows.

import fs from "node:fs";
import { expect, test } from "vitest";
import { colourOf, kindColours } from "../../src/report/figures/palette.ts";
import { drawSweep } from "../../src/report/sweep-chart.ts";
import { summary } from "./sweep-summary.ts";

const picture = (name: string): string => fs.readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");
const HC = [kindColours.hc!, kindColours.mhc!];

test("the pictures of the documentation have the colours of the table", () => {
  for (const name of ["comparison.svg", "sweeps/lr-depth-small.svg", "stability/figure-5.svg"])
    for (const colour of [...HC, kindColours.residual!]) expect(picture(name)).toContain(`"${colour}"`);
  for (const name of ["stability/figure-2.svg", "stability/gain-by-step.svg"])
    for (const colour of HC) expect(picture(name)).toContain(`"${colour}"`);
});

test("a sweep's line has its connection's colour whatever its options and its name of old, a second one a shade", async () => {
  const of = async (...connections: string[]): Promise<string> => {
    const [first] = summary.groups;
    const groups = connections.map((connection) => ({ ...first!, group: { ...first!.group, connection } }));
    return drawSweep({ ...summary, groups });
  };
  const one = await of("manifold:streams=2");
  expect(one).toContain(`stroke="${colourOf("mhc")}"`);
  expect(one).toContain(">mHC:streams=2</text>");
  const two = await of("mhc", "mhc:streams=2,residualMap=sinkhorn");
  const lines = [
    ...two.matchAll(
      /<path aria-label="[^"]*" role="graphics-symbol" aria-roledescription="area mark"[^>]*fill="(#\w{6})"/g,
    ),
  ];
  expect(new Set(lines.map(([, colour]) => colour)).size).toBe(2);
  expect(two).toContain(`stroke="${colourOf("mhc")}"`);
  expect(two).toContain(">mHC:streams=2,residualMap=sinkhorn</text>");
});
