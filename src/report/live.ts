// Question: what does a person see while models train?
//
// On a terminal there is one line for each model, redrawn in place. A pipe gets a plain line now and then. Both show
// step, loss, tokens/s, time left, gradient norm and the largest composite gain.

import { styleText } from "node:util";

export interface LiveRow {
  readonly name: string;
  readonly step: number;
  readonly steps: number;
  readonly loss: number | undefined;
  readonly tokensPerSecond: number | undefined;
  readonly gradientNorm: number | undefined;
  /** Largest composite Amax gain, backward; undefined without streams. */
  readonly gain: number | undefined;
  /** Last validation loss in bits per byte. */
  readonly bitsPerByte: number | undefined;
}

export interface LiveView {
  update(rows: readonly LiveRow[], secondsLeft: number | undefined): void;
  /** A message that stays above the live lines. */
  note(message: string): void;
  close(): void;
}

interface Column {
  readonly title: string;
  readonly width: number;
  readonly show: (row: LiveRow) => string;
}

/** With two spaces in between, these take 78 columns, so they fit a terminal of 80. */
const columns: readonly Column[] = [
  { title: "model", width: 10, show: ({ name }) => name },
  { title: "step", width: 11, show: ({ step, steps }) => `${step}/${steps}` },
  { title: "", width: 6, show: ({ step, steps }) => bar(step / steps, 6) },
  { title: "loss", width: 7, show: ({ loss }) => decimal(loss, 4) },
  { title: "val bpb", width: 7, show: ({ bitsPerByte }) => decimal(bitsPerByte, 4) },
  {
    title: "tokens/s",
    width: 8,
    show: ({ tokensPerSecond }) =>
      tokensPerSecond === undefined ? "" : Math.round(tokensPerSecond).toLocaleString("en"),
  },
  { title: "grad norm", width: 9, show: ({ gradientNorm }) => decimal(gradientNorm, 3) },
  { title: "gain", width: 6, show: ({ gain }) => decimal(gain, 3) },
];

/** Names up to this length fit a terminal of 80 columns in place of the bar. */
const LONGEST_NAME = 19;

/** The columns, with room for long names. A name is cut at its start, because its end distinguishes it. The bar goes if it does not fit. */
function columnsFor(rows: readonly LiveRow[], width: number): Column[] {
  const [first, ...rest] = columns as [Column, ...Column[]];
  const names = Math.min(LONGEST_NAME, Math.max(first.width, ...rows.map(({ name }) => name.length)));
  const show = ({ name }: LiveRow): string => (name.length > names ? `…${name.slice(1 - names)}` : name);
  const all = [{ ...first, width: names, show }, ...rest];
  const needed = all.reduce((sum, column) => sum + column.width + 2, -2);
  return needed < width ? all : all.filter(({ title }) => title !== "");
}

/** Draw on a terminal if there is one, and write plain lines otherwise. */
export function createLiveView(stream: NodeJS.WriteStream = process.stderr): LiveView {
  return stream.isTTY ? terminalView(stream) : plainView(stream);
}

function terminalView(stream: NodeJS.WriteStream): LiveView {
  let drawn = 0;
  let last: string[] = [];
  const erase = (): void => void (drawn > 0 && stream.write(`\x1b[${drawn}A\x1b[0J`));
  const draw = (): void => {
    if (last.length === 0) return;
    const width = stream.columns || 80;
    // A wrapped line would take two lines to erase.
    const [header = "", ...lines] = last.map((line) => line.slice(0, width - 1));
    stream.write(`${[styleText("dim", header), ...lines].join("\n")}\n`);
    drawn = last.length;
  };
  stream.write("\x1b[?25l");
  const restore = (): void => void stream.write("\x1b[?25h");
  process.once("exit", restore);
  return {
    update(rows, secondsLeft) {
      erase();
      const shown = columnsFor(rows, stream.columns || 80);
      const header = shown.map(({ title, width }) => title.padStart(width)).join("  ");
      last = [
        header,
        ...rows.map((row) => shown.map(({ width, show }) => show(row).padStart(width)).join("  ")),
        secondsLeft === undefined ? "" : `${duration(secondsLeft)} left · Ctrl-C saves and stops`,
      ];
      draw();
    },
    note(message) {
      erase();
      stream.write(`${message}\n`);
      drawn = 0;
      draw();
    },
    close() {
      restore();
      process.off("exit", restore);
    },
  };
}

/** At most one line per model every ten seconds, and one for the last step. */
function plainView(stream: NodeJS.WriteStream): LiveView {
  const shown = new Map<string, number>();
  return {
    update(rows, secondsLeft) {
      const now = performance.now();
      for (const row of rows) {
        if (row.loss === undefined) continue;
        const before = shown.get(row.name);
        if (before !== undefined && now - before < 10_000 && row.step < row.steps) continue;
        if (row.step === row.steps && before === Number.POSITIVE_INFINITY) continue;
        shown.set(row.name, row.step === row.steps ? Number.POSITIVE_INFINITY : now);
        const fields = columns
          .filter(({ title }) => title !== "" && title !== "model")
          .map(({ title, show }) => [title, show(row)] as const);
        const text = fields
          .filter(([, value]) => value !== "")
          .map(([title, value]) => `${title} ${value}`)
          .join("  ");
        stream.write(`${row.name}: ${text}${secondsLeft === undefined ? "" : `  left ${duration(secondsLeft)}`}\n`);
      }
    },
    note: (message) => void stream.write(`${message}\n`),
    close() {},
  };
}

/** "1 h 02 min", "4 min 05 s", "12 s". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  if (whole >= 60) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${whole} s`;
}

function decimal(value: number | undefined, digits: number): string {
  if (value === undefined) return "";
  return Math.abs(value) < 1e4 ? value.toFixed(digits) : value.toExponential(0);
}

function bar(share: number, width: number): string {
  const filled = Math.round(Math.min(1, share) * width);
  return "█".repeat(filled) + "░".repeat(width - filled);
}
