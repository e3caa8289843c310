// Question: what did a run write, what alarms did it raise, and how was it configured?

import fs from "node:fs";
import path from "node:path";
import { isObject } from "../../basics/objects.ts";
import { describeChange, parseChanges } from "../../runs/identity.ts";
import { recordOf } from "../../runs/record-shapes.ts";
import { withCurrentNames } from "../../training/config.ts";
import { endLines, endText } from "./ends.ts";
import type { EventLine, RunTexts, SampleText } from "./messages.ts";
import type { Places } from "./places.ts";

/** The number of bytes at the end of each file that are shown. */
const MOST_BYTES = 1 << 18;
const MOST_ROWS = 200;
const MOST_FIELDS = 400;

/** The texts of a run; undefined if it does not exist. */
export function readTexts(places: Places, run: string): RunTexts | undefined {
  const folder = places.folder(run);
  if (folder === undefined) return undefined;
  const description = parsed(endText(places.open(run, "config.json"), MOST_BYTES));
  const { config, versions, changes } = isObject(description) ? description : {};
  return {
    run,
    samples: parseSamples(endText(places.open(run, "samples.txt"), MOST_BYTES)),
    events: parseEvents(endLines(places.open(run, "events.jsonl"), MOST_BYTES)),
    checkpoints: checkpointSteps(folder),
    config: shown(withCurrentNames(config)),
    versions: shown(versions),
    changes: linesOf(changes),
  };
}

/** Changes of a configuration; none where they are something else. */
function linesOf(changes: unknown): string[] {
  try {
    return parseChanges(changes).slice(-MOST_ROWS).map(describeChange);
  } catch {
    return [];
  }
}

/** Samples as runs/samples.ts writes them: a heading, the indented text, an empty line. Newest first. */
function parseSamples(text: string): SampleText[] {
  const samples = text.split("\n\n").slice(0, -1);
  return samples.slice(-MOST_ROWS).reverse().map(parseSample);
}

function parseSample(sample: string): SampleText {
  const match = /^step (\d{1,15}), prompt (".*")\n([^]*)$/.exec(sample.trimStart());
  const prompt = match ? parsed(match[2]!) : undefined;
  if (!match || typeof prompt !== "string") return { step: null, prompt: "", text: sample };
  const text = match[3]!.replace(/^ {2}/gm, "");
  return { step: Number(match[1]), prompt, text: text.startsWith(prompt) ? text.slice(prompt.length) : text };
}

/** The alarms, newest first. */
function parseEvents(lines: readonly string[]): EventLine[] {
  return lines
    .flatMap((line) => recordOf("events.jsonl", line) ?? [])
    .map(({ step, rule = "", message = "", action = "" }) => ({ step, rule, message, action }))
    .slice(-MOST_ROWS)
    .reverse();
}

/** The steps of a run's checkpoints, ascending. */
export function checkpointSteps(folder: string): number[] {
  const checkpoints = path.join(folder, "checkpoints");
  try {
    if (fs.realpathSync.native(checkpoints) !== checkpoints) return [];
    return fs
      .readdirSync(checkpoints)
      .flatMap((name) => /^step-(\d{1,15})$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
  } catch {
    return [];
  }
}

/** The leaves of a configuration; none if they are nested too deeply to be shown. */
function shown(fields: unknown): Record<string, string> {
  try {
    return flatten(fields);
  } catch {
    return {};
  }
}

/** The leaves of nested objects, by path. Lists are leaves. */
function flatten(value: unknown): Record<string, string> {
  const rows: [string, string][] = [];
  const visit = (at: string, field: unknown, depth: number): void => {
    if (rows.length >= MOST_FIELDS) return;
    if (isObject(field) && depth < 8) {
      for (const [name, inner] of Object.entries(field)) visit(at ? `${at}.${name}` : name, inner, depth + 1);
    } else if (at) rows.push([at, (typeof field === "string" ? field : JSON.stringify(field)).slice(0, 400)]);
  };
  visit("", value, 0);
  return Object.fromEntries(rows);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
