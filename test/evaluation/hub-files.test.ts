// The parquet files of the hub ask the same questions as the authors' files.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, describe, expect, test } from "vitest";
import { openDataFolder, readDataFolder } from "../../src/evaluation/data-folder.ts";
import { planTask } from "../../src/evaluation/prompts.ts";
import { findTasks } from "../../src/evaluation/tasks/table.ts";
import { parseCsv } from "../../src/evaluation/csv.ts";

const benchmarks = fileURLToPath(new URL("../fixtures/evaluation/benchmarks", import.meta.url));
const place = fs.mkdtempSync(path.join(os.tmpdir(), "birkhoff-hub-"));
afterAll(() => fs.rmSync(place, { recursive: true }));

// --- parquet -------------------------------------------------------------------------------------

type Schema = NonNullable<Parameters<typeof parquetWriteBuffer>[0]["schema"]>;
type Row = Readonly<Record<string, unknown>>;

/** The elements of a schema that a value has. */
function elements(name: string, value: unknown): Schema {
  if (Array.isArray(value))
    return [
      { name, repetition_type: "OPTIONAL", converted_type: "LIST", num_children: 1 },
      { name: "list", repetition_type: "REPEATED", num_children: 1 },
      // An empty list is one of texts.
      ...elements("element", value[0] ?? ""),
    ];
  if (typeof value === "object" && value !== null) {
    const fields = Object.entries(value);
    return [
      { name, repetition_type: "OPTIONAL", num_children: fields.length },
      ...fields.flatMap(([field, each]) => elements(field, each)),
    ];
  }
  if (typeof value === "bigint") return [{ name, repetition_type: "OPTIONAL", type: "INT64" }];
  return [{ name, repetition_type: "OPTIONAL", type: "BYTE_ARRAY", converted_type: "UTF8" }];
}

/** Write rows as a file of the hub; the first, or the form, says which fields there are. */
function write(file: string, rows: readonly Row[], form: Row = rows[0]!): void {
  const fields = Object.entries(form);
  const schema: Schema = [
    { name: "root", num_children: fields.length },
    ...fields.flatMap(([name, value]) => elements(name, value)),
  ];
  const columnData = fields.map(([name]) => ({ name, data: rows.map((row) => row[name]) }));
  fs.mkdirSync(path.dirname(path.join(place, file)), { recursive: true });
  fs.writeFileSync(path.join(place, file), new Uint8Array(parquetWriteBuffer({ columnData, schema })));
}

// --- the authors' files as the hub has them ---------------------------------------------------------

const text = (file: string): string => fs.readFileSync(path.join(benchmarks, file), "utf8");
const json = (file: string): unknown => JSON.parse(text(file));
const lines = (file: string): Record<string, unknown>[] =>
  text(file)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const multipleChoice = (file: string, more: Row = {}): Row[] =>
  parseCsv(text(file)).map(([question, ...rest]) => ({
    question,
    ...more,
    choices: rest.slice(0, 4),
    answer: BigInt("ABCD".indexOf(rest[4]!)),
  }));

interface Answer {
  readonly number: string;
  readonly date: { readonly day?: string; readonly month?: string; readonly year?: string };
  readonly spans: readonly string[];
}
interface Passage {
  readonly passage: string;
  readonly qa_pairs: readonly {
    readonly question: string;
    readonly query_id: string;
    readonly answer: Answer;
    readonly validated_answers?: readonly Answer[];
  }[];
}
const dated = { day: "1", month: "May", year: "1611" };
/** The fixture's passages; its first question has two answers more. */
function passages(): Record<string, Passage> {
  const all = json("drop/drop_dataset_dev.json") as Record<string, Passage>;
  const [[section, { passage, qa_pairs: pairs }]] = Object.entries(all) as [[string, Passage]];
  const more: Answer[] = [
    { number: "", date: dated, spans: [] },
    { number: "", date: {}, spans: ["three", "four"] },
  ];
  return { ...all, [section]: { passage, qa_pairs: [{ ...pairs[0]!, validated_answers: more }, ...pairs.slice(1)] } };
}
const dropRows = (): Row[] =>
  Object.entries(passages()).flatMap(([section, { passage, qa_pairs: pairs }]) =>
    pairs.map(({ question, query_id: query, answer, validated_answers: others = [] }) => ({
      section_id: section,
      passage,
      question,
      query_id: query,
      answer,
      // A group of lists.
      validated_answers: {
        number: others.map(({ number }) => number),
        date: others.map(({ date }) => date),
        spans: others.map(({ spans }) => spans),
      },
    })),
  );
const dropForm: Row = {
  section_id: "",
  passage: "",
  question: "",
  query_id: "",
  answer: { number: "", date: dated, spans: [""] },
  validated_answers: { number: [""], date: [dated], spans: [[""]] },
};

// --- what is asked --------------------------------------------------------------------------------

/** Of a task: prompts and the examples as they are recorded. */
const asked = (name: string, data: ReturnType<typeof openDataFolder>, shots?: number): unknown =>
  planTask(findTasks([name])[0]!, data, { shots }).prompts.map(({ text: prompt, example }) => ({
    prompt,
    ...example,
    judge: undefined,
  }));

interface Case {
  readonly task: string;
  readonly benchmark: string;
  readonly shots?: number;
  write(): void;
}

const cases: readonly Case[] = [
  {
    task: "gsm8k",
    benchmark: "gsm8k",
    shots: 2,
    write() {
      write("gsm8k/main/test-00000-of-00001.parquet", lines("gsm8k/test.jsonl"));
      const train = lines("gsm8k/train.jsonl");
      // In two parts, which belong together in this order.
      write("gsm8k/main/train-00000-of-00002.parquet", train.slice(0, 3));
      write("gsm8k/main/train-00001-of-00002.parquet", train.slice(3));
      write("gsm8k/socratic/test-00000-of-00001.parquet", [{ question: "another form", answer: "#### 1" }]);
    },
  },
  {
    task: "hellaswag",
    benchmark: "hellaswag",
    write() {
      const rows = lines("hellaswag/hellaswag_val.jsonl");
      const texts = rows.map(({ ind, label, ...row }) => ({ ind: BigInt(ind as number), ...row, label: `${label}` }));
      write("hellaswag/data/validation-00000-of-00001.parquet", texts);
    },
  },
  {
    task: "piqa",
    benchmark: "piqa",
    write() {
      const labels = text("piqa/valid-labels.lst").trim().split("\n");
      const rows = lines("piqa/valid.jsonl").map(({ goal, sol1, sol2 }, at) => ({
        goal,
        sol1,
        sol2,
        label: BigInt(labels[at]!),
      }));
      // The form of the branch refs/convert/parquet.
      write("piqa/plain_text/validation/0000.parquet", rows);
    },
  },
  {
    task: "triviaqa",
    benchmark: "triviaqa",
    write() {
      const rows = lines("triviaqa/validation.jsonl").map(({ context, aliases }) => ({
        question: /^Question: ([^]*)\nAnswer:$/.exec(context as string)![1],
        question_id: "1",
        answer: { aliases, value: (aliases as string[])[0] },
      }));
      write("triviaqa/rc.nocontext/validation-00000-of-00001.parquet", rows);
      write("triviaqa/rc/validation-00000-of-00001.parquet", rows.slice(1));
    },
  },
  ...["minerva_math_algebra", "hendrycks_math_algebra"].map((task) => ({
    task,
    benchmark: "math",
    write: () =>
      write(
        "math/algebra/test-00000-of-00001.parquet",
        [0, 1, 2].map((number) => json(`math/test/algebra/${number}.json`) as Row),
      ),
  })),
  {
    task: "bbh_cot_fewshot_navigate",
    benchmark: "bbh",
    write() {
      const { examples } = json("bbh/bbh/navigate.json") as { examples: Row[] };
      write("bbh/navigate/test-00000-of-00001.parquet", examples);
      fs.cpSync(path.join(benchmarks, "bbh/cot-prompts"), path.join(place, "bbh/cot-prompts"), { recursive: true });
    },
  },
  {
    task: "mmlu_anatomy",
    benchmark: "mmlu",
    shots: 2,
    write() {
      write("mmlu/anatomy/test-00000-of-00001.parquet", multipleChoice("mmlu/test/anatomy_test.csv"));
      write("mmlu/anatomy/dev-00000-of-00001.parquet", multipleChoice("mmlu/dev/anatomy_dev.csv"));
      // The same once more, which is not asked twice.
      const all = multipleChoice("mmlu/test/anatomy_test.csv", { subject: "anatomy" });
      write("mmlu/all/test-00000-of-00001.parquet", all);
    },
  },
];

describe("the parquet files of the hub", () => {
  test.each(cases)("$task asks what the authors' files ask", async ({ task, benchmark, shots, write: prepare }) => {
    prepare();
    const expected = asked(task, openDataFolder(benchmarks, benchmark), shots);
    expect(asked(task, await readDataFolder(place, benchmark), shots)).toEqual(expected);
    // Also where the folder is that of the benchmark itself.
    expect(asked(task, await readDataFolder(path.join(place, benchmark), benchmark), shots)).toEqual(expected);
  });

  test("drop asks what the authors' files ask, with all answers", async () => {
    write("drop/data/validation-00000-of-00001.parquet", dropRows(), dropForm);
    fs.mkdirSync(path.join(place, "authors/drop"), { recursive: true });
    fs.writeFileSync(path.join(place, "authors/drop/drop_dataset_dev.json"), JSON.stringify(passages()));
    const expected = asked("drop", openDataFolder(path.join(place, "authors"), "drop"));
    expect(JSON.stringify(expected)).toContain("1 May 1611");
    expect(asked("drop", await readDataFolder(place, "drop"))).toEqual(expected);
  });

  test("mmlu in one file for all subjects", async () => {
    for (const split of ["test", "dev"]) {
      const rows = ["professional_law", "anatomy"].flatMap((subject) =>
        multipleChoice(`mmlu/${split}/${subject}_${split}.csv`, { subject }),
      );
      write(`whole/mmlu/all/${split}-00000-of-00001.parquet`, rows);
    }
    const data = await readDataFolder(path.join(place, "whole"), "mmlu");
    for (const subject of ["mmlu_anatomy", "mmlu_professional_law"])
      expect(asked(subject, data, 1)).toEqual(asked(subject, openDataFolder(benchmarks, "mmlu"), 1));
  });

  test("the authors' files come first", async () => {
    const folder = path.join(place, "both/gsm8k");
    fs.cpSync(path.join(benchmarks, "gsm8k"), folder, { recursive: true });
    write("both/gsm8k/main/test-00000-of-00001.parquet", [{ question: "another", answer: "#### 1" }]);
    expect(asked("gsm8k", await readDataFolder(path.join(place, "both"), "gsm8k"))).toEqual(
      asked("gsm8k", openDataFolder(benchmarks, "gsm8k")),
    );
  });
});

describe("what is wrong", () => {
  test.each([
    ["a column that is not there", [{ goal: "a", sol1: "b", label: 0n }], /validation\.parquet, row 1: .*sol2/],
    ["a label that is none", [{ goal: "a", sol1: "b", sol2: "c", label: 2n }], /there is no label; it must be 0 or 1/],
  ])("%s", async (_what, rows, message) => {
    const name = fs.mkdtempSync(path.join(place, "wrong-"));
    write(path.join(path.relative(place, name), "piqa/validation.parquet"), rows);
    const data = await readDataFolder(name, "piqa");
    expect(() => asked("piqa", data)).toThrow(message);
  });

  test("a file that is no parquet", async () => {
    fs.mkdirSync(path.join(place, "damaged/piqa"), { recursive: true });
    fs.writeFileSync(path.join(place, "damaged/piqa/validation.parquet"), "PAR1 and so on");
    await expect(readDataFolder(path.join(place, "damaged"), "piqa")).rejects.toThrow(
      /validation\.parquet cannot be read as parquet: .*fetch it again/,
    );
  });

  test("a folder that is not there", async () => {
    await expect(readDataFolder("no/such", "piqa")).rejects.toThrow("--data: no/such is given; it must be a folder");
  });
});
