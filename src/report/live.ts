// Question: what does a person see while models train?
//
// On a terminal there is one line for each model, redrawn in place; a narrow one loses columns in a fixed order, a wide
// one gets longer bars. A pipe gets a plain line now and then, with the time of day. Both show step, loss, tokens/s, time
// left, gradient norm and the largest composite gain.

import { painterOf, widthOf } from "./terminal.ts";

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
  /** The command was asked to end: it saves, and then it leaves. */
  ending?(): void;
  close(): void;
}

interface Column {
  readonly title: string;
  readonly width: number;
  /** A narrow terminal loses the columns with the highest numbers first. */
  readonly rank: number;
  readonly show: (row: LiveRow) => string;
}

/** With two spaces in between, these take 78 columns, so they fit a terminal of 80. */
const columns: readonly Column[] = [
  { title: "model", width: 10, rank: 0, show: ({ name }) => name },
  { title: "step", width: 11, rank: 1, show: ({ step, steps }) => `${step}/${steps}` },
  { title: "", width: 6, rank: 7, show: ({ step, steps }) => bar(step / steps, 6) },
  { title: "loss", width: 7, rank: 2, show: ({ loss }) => decimal(loss, 4) },
  { title: "val bpb", width: 7, rank: 3, show: ({ bitsPerByte }) => decimal(bitsPerByte, 4) },
  {
    title: "tokens/s",
    width: 8,
    rank: 5,
    show: ({ tokensPerSecond }) =>
      tokensPerSecond === undefined ? "" : Math.round(tokensPerSecond).toLocaleString("en"),
  },
  { title: "grad norm", width: 9, rank: 6, show: ({ gradientNorm }) => decimal(gradientNorm, 3) },
  { title: "gain", width: 6, rank: 4, show: ({ gain }) => decimal(gain, 3) },
];

/** Names up to this length fit a terminal of 80 columns in place of the bar. */
const LONGEST_NAME = 19;
const LONGEST_BAR = 40;

/** The columns that fit, with room for long names. A name is cut at its start, because its end distinguishes it. */
function columnsFor(rows: readonly LiveRow[], width: number): Column[] {
  const most = Math.max(width < 60 ? columns[0]!.width : LONGEST_NAME, Math.floor(width / 4) - 1);
  const names = Math.min(most, Math.max(columns[0]!.width, ...rows.map(({ name }) => name.length)));
  let shown: Column[] = columns.map((column) =>
    column.title === "model" ? { ...column, width: names, show: ({ name }) => cutStart(name, names) } : column,
  );
  const needed = (): number => shown.reduce((sum, column) => sum + column.width + 2, -2);
  while (needed() >= width && shown.length > 1) {
    const last = Math.max(...shown.map(({ rank }) => rank));
    shown = shown.filter(({ rank }) => rank !== last);
  }
  const spare = width - 2 - needed();
  return shown.map((column) => {
    if (column.title !== "") return column;
    const long = Math.min(LONGEST_BAR, column.width + Math.max(0, spare));
    return { ...column, width: long, show: ({ step, steps }) => bar(step / steps, long) };
  });
}

const cutStart = (text: string, length: number): string => (text.length > length ? `…${text.slice(1 - length)}` : text);

/** Draw on a terminal if there is one, and write plain lines otherwise. */
export function createLiveView(stream: NodeJS.WriteStream = process.stderr): LiveView {
  return stream.isTTY ? terminalView(stream) : plainView(stream);
}

/** More pictures a second than this only cost time. */
const REDRAWN_MS = 80;

function terminalView(stream: NodeJS.WriteStream): LiveView {
  const paint = painterOf(stream);
  let last: { readonly rows: readonly LiveRow[]; readonly secondsLeft: number | undefined } | undefined;
  let isEnding = false;
  let drawn: readonly string[] = [];
  let drawnAt = Number.NEGATIVE_INFINITY;
  let isClosed = false;
  /** Goes to where the lines began: to the start of the line, where the terminal may have written ^C, and up. */
  const erased = (): string => {
    // A terminal that was made narrower has broken its lines.
    const width = widthOf(stream);
    const height = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / width)), 0);
    drawn = [];
    return height > 0 ? `\r\x1b[${height}A\x1b[0J` : "";
  };
  const lines = (): string[] => {
    if (!last) return [];
    const { rows, secondsLeft } = last;
    const width = widthOf(stream);
    const shown = columnsFor(rows, width);
    // Lines above the top of the terminal could not be erased.
    const room = Math.max(1, (stream.rows || 24) - 4);
    const some = rows.slice(0, rows.length > room ? room : undefined);
    const foot = isEnding
      ? "saving · Ctrl-C again leaves at once"
      : secondsLeft === undefined
        ? ""
        : `${duration(secondsLeft)} left · Ctrl-C saves and stops`;
    return [
      shown.map((column) => column.title.padStart(column.width)).join("  "),
      ...some.map((row) => shown.map((column) => column.show(row).padStart(column.width)).join("  ")),
      ...(some.length < rows.length ? [`… and ${rows.length - some.length} more`] : []),
      ...(isClosed ? [] : [foot]),
    ].map((line) => line.slice(0, width - 1));
  };
  const draw = (before = ""): void => {
    const start = erased();
    const now = lines();
    const text = now
      .map((line, at) => `${at === 0 || (at === now.length - 1 && !isClosed) ? paint("dim", line) : line}\n`)
      .join("");
    if (start + before + text !== "") stream.write(start + before + text);
    drawn = now;
    drawnAt = performance.now();
  };
  stream.write("\x1b[?25l");
  const restore = (): void => void stream.write("\x1b[?25h");
  process.once("exit", restore);
  return {
    update(rows, secondsLeft) {
      last = { rows, secondsLeft };
      if (performance.now() - drawnAt >= REDRAWN_MS) draw();
    },
    note: (message) => draw(`${message}\n`),
    ending() {
      isEnding = true;
      draw();
    },
    close() {
      isClosed = true;
      if (last) draw();
      restore();
      process.off("exit", restore);
    },
  };
}

/** At most one line per model every ten seconds, and one for the last step. */
function plainView(stream: NodeJS.WriteStream): LiveView {
  const shown = new Map<string, number>();
  const say = (line: string): void => void stream.write(`${timeOfDay()} ${line}\n`);
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
        say(`${row.name}: ${text}${secondsLeft === undefined ? "" : `  left ${duration(secondsLeft)}`}`);
      }
    },
    note: say,
    ending: () => say("saving, then this ends"),
    close() {},
  };
}

/** Local time for a line of a log: 2026-11-30 14:03:09. */
export function timeOfDay(now: Date = new Date()): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = [now.getFullYear(), two(now.getMonth() + 1), two(now.getDate())].join("-");
  return `${day} ${[now.getHours(), now.getMinutes(), now.getSeconds()].map(two).join(":")}`;
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
