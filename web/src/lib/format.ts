// Question: how are numbers written so that a reader grasps them at a glance?

import type { Axis } from "./curves.ts";

/** Four significant digits; a power of ten for very large or small numbers; a dash for a missing one. */
export function short(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (value === 0) return "0";
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

/** A position on the horizontal axis of the curves. */
export function axisText(value: number, axis: Axis): string {
  return axis === "time" ? duration(value) : axis === "step" ? Math.round(value).toLocaleString("en") : counted(value);
}

/** 75 → 1 min 15 s. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Number(seconds.toPrecision(2))} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min${seconds % 60 >= 1 ? ` ${Math.floor(seconds % 60)} s` : ""}`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
