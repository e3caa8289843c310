// Question: how does an evaluation go on where it was stopped?
//
// Every answer is a line of answers.jsonl as soon as it is known. The first line says which weights, tokenizer and window gave
// them. The file serves the next evaluation of the same model: what it has answered is not asked again, whatever the
// tasks, shots or limits, because an answer is known by the hash of its prompt, choices and stop strings. The answers of
// another model are put aside, as answers.before.jsonl.

import fs from "node:fs";
import path from "node:path";
import { isObject } from "../basics/objects.ts";
import { openLog } from "../files/records.ts";
import { MOST_OF_RECORDS, readText } from "../files/read.ts";
import type { Answer, Answered } from "./answers.ts";

/** Answers that are kept on disk. */
export interface AnswerLog {
  readonly answers: ReadonlyMap<string, Answer>;
  /** Whether the window was too small for a prompt, by its request. */
  readonly cut: ReadonlySet<string>;
  add(answered: Answered): void;
  close(): void;
}

/**
 * Open the answers in a folder, and make it.
 *
 * @param model what gives the answers; those of another model are put aside
 */
export function openAnswers(folder: string, model: Readonly<Record<string, string | number>>): AnswerLog {
  fs.mkdirSync(folder, { recursive: true });
  const file = path.join(folder, "answers.jsonl");
  const head = JSON.stringify({ model });
  const [first, ...lines] = wholeLines(file);
  const kept = first === head ? lines.flatMap(parseAnswer) : [];
  if (first !== head && fs.existsSync(file)) fs.renameSync(file, path.join(folder, "answers.before.jsonl"));
  const answers = new Map(kept.map(({ request, answer }) => [request, answer]));
  const cut = new Set(kept.filter((line) => line.cut).map(({ request }) => request));
  const log = openLog(file);
  if (first !== head) log.append(`${head}\n`);
  // A line that a kill has cut off is ended, and then passed over.
  else if (!endsWithLine(file)) log.append("\n");
  return {
    answers,
    cut,
    add({ task, index, request, answer, cut: wasCut }) {
      answers.set(request, answer);
      if (wasCut) cut.add(request);
      log.append(`${JSON.stringify({ task, index, request, answer, ...(wasCut && { cut: true }) })}\n`);
    },
    close: () => log.close(),
  };
}

const textOf = (file: string): string => (fs.existsSync(file) ? readText(file, MOST_OF_RECORDS) : "");
const wholeLines = (file: string): string[] => textOf(file).split("\n").slice(0, -1);
const endsWithLine = (file: string): boolean => textOf(file).endsWith("\n");

interface KeptAnswer {
  readonly request: string;
  readonly answer: Answer;
  readonly cut?: boolean;
}

/** A line, or nothing where it is damaged: then it is asked again. */
function parseAnswer(line: string): KeptAnswer[] {
  try {
    const kept: unknown = JSON.parse(line);
    const sound = isObject(kept) && typeof kept["request"] === "string" && isAnswer(kept["answer"]);
    return sound ? [kept as unknown as KeptAnswer] : [];
  } catch {
    return [];
  }
}

const isAnswer = (value: unknown): boolean =>
  isObject(value) && (typeof value["text"] === "string" || Array.isArray(value["choices"]));
