// Question: what does `birkhoff inspect` show of a network of one's own?
//
// What its run folder holds: how it was trained, its curve, and what was measured of its connections at the last
// measured step. Only the program that trained it can build it, so nothing is measured anew.

import { showPlain } from "../basics/show.ts";
import { formatJson } from "../files/json.ts";
import { describeInstruments } from "../report/instruments-text.ts";
import { drawCurves } from "../report/summary.ts";
import { latestCheckpoint, loadModel, weightsFile } from "../runs/checkpoint.ts";
import { readRunData } from "../runs/run-data.ts";
import { tensorSpreads } from "../study/inspect-run.ts";
import type { NetConfig } from "../training/net-config.ts";
import { describeTensors } from "./tensor-table.ts";
import { lookOf } from "../report/terminal.ts";
import { warn } from "./warn.ts";

/** Print what the run folder of a network of one's own holds. */
export function inspectNet(
  folder: string,
  net: NetConfig,
  { tensors: wanted, json }: { readonly tensors?: boolean; readonly json?: boolean },
): void {
  const { metrics, gains, events, versions, problems } = readRunData(folder);
  problems.forEach(warn);
  const place = latestCheckpoint(folder, warn);
  const tensors = place && (wanted || json) ? tensorSpreads(loadModel(place.folder)) : [];
  const [last, record] = [metrics.at(-1), gains.at(-1)];
  if (json) {
    process.stdout.write(
      `${formatJson({ folder, config: net, versions, checkpoint: place, last, gains: record, alarms: { number: events.length }, tensors })}\n`,
    );
    return;
  }
  const look = lookOf(process.stdout);
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const joined = net.model.connection ? `, joined by ${showPlain(net.model.connection.kind)}` : "";
  print(`${showPlain(net.name)}: a network of one's own${joined}`);
  print(
    `parameters ${net.model.parameters.toLocaleString("en")}; step ${last?.step ?? 0} of ${net.steps}; checkpoint ${place ? `step ${place.step}` : "none"}`,
  );
  if (last) {
    print(`loss ${last.loss?.toPrecision(5) ?? "–"}, gradient norm ${last.gradientNorm?.toPrecision(4) ?? "–"}`);
    const evaluated = metrics.findLast(({ validationLoss }) => validationLoss !== undefined);
    if (evaluated) print(`validation loss ${evaluated.validationLoss!.toPrecision(5)} at step ${evaluated.step}`);
    print(`\n${drawCurves([{ name: "training loss", values: metrics.map(({ loss }) => loss) }], look)}`);
  }
  if (record) {
    const names = (record.single?.forward ?? []).map((_, index) => `mixing[${index}]`);
    print(`\nrecorded at step ${record.step}\n${describeInstruments(record, names, look.width)}`);
  }
  if (wanted) print(`\n${describeTensors(tensors, look.width)}`);
  if (place) print(`\nIts parameters: ${showPlain(weightsFile(place.folder))}`);
}
