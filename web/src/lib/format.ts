// Question: how are numbers written so that a reader grasps them at a glance?

import type { Axis } from "./curves.ts";

/** Four significant digits, whole numbers up to a million; a power of ten beyond, and below 0.001; a dash for none. */
export function short(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 10 ** digits && size < 1e6) return Math.round(value).toLocaleString("en");
  if (size >= 1e5 || size < 1e-3)
    return value
      .toExponential(Math.min(2, digits - 1))
      .replace("e+", "e")
      .replace(".00e", "e");
  return value
    .toPrecision(digits)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "");
}

/** 12 800 → 12.8k. */
export function counted(value: number): string {
  const units = [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const;
  const [unit, letter] = units.find(([size]) => Math.abs(value) >= size) ?? [1, ""];
  return `${Number((value / unit).toPrecision(3))}${letter}`;
}

/** A time that is left, as one looks at a clock: 40 s, 12 min, 3 h 20 min, 2 days. */
export function timeLeft(seconds: number): string {
  if (seconds < 55) return `${Math.max(5, 5 * Math.round(seconds / 5))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(minutes / 1440)} days`;
}

/** A position on the horizontal axis of the curves. */
export function axisText(value: number, axis: Axis): string {
  return axis === "time" ? duration(value) : axis === "step" ? Math.round(value).toLocaleString("en") : counted(value);
}

/** 75 → 1 min 15 s. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Number(seconds.toPrecision(2))} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min${seconds % 60 >= 1 ? ` ${Math.floor(seconds % 60)} s` : ""}`;
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)} h${rest > 0 ? ` ${rest} min` : ""}`;
}
