// Question: is a number that a function is given one that it can use?

import { showValue } from "./show.ts";

/**
 * Throw unless a value is a whole number of a range.
 *
 * @param operation who asks: the first part of the message
 * @throws RangeError
 */
export function expectWhole(operation: string, name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new RangeError(
    `${operation}: ${name} is ${showValue(value)}; it must be a whole number from ${least} to ${most}. Give one of these.`,
  );
}

/**
 * Throw unless a value is a number that float32 can hold.
 *
 * @throws TypeError for what is no number, RangeError for NaN and for what float32 rounds to infinity
 */
export function expectFloat32(operation: string, name: string, value: number, least: number = -Infinity): void {
  if (typeof value === "number" && Number.isFinite(Math.fround(value)) && value >= least) return;
  const kind = typeof value === "number" ? RangeError : TypeError;
  throw new kind(
    `${operation}: ${name} is ${showValue(value)}; it must be a number from ${least === -Infinity ? "-3.4e38" : least} to 3.4e38, what float32 holds. Give one of these.`,
  );
}

/**
 * Throw unless a value is a finite number of at least zero.
 *
 * @param above whether zero itself is refused
 * @throws RangeError
 */
export function expectAmount(operation: string, name: string, value: number, above: boolean = false): void {
  if (typeof value === "number" && value < Infinity && (above ? value > 0 : value >= 0)) return;
  throw new RangeError(
    `${operation}: ${name} is ${showValue(value)}; it must be a finite number, ${above ? "above 0" : "0 or more"}. Give such as 1.`,
  );
}
