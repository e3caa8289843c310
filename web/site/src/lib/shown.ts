// Question: how are numbers written on this page?

/** Digits of a superscript. */
const raised = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const superscript = (power: number): string =>
  (power < 0 ? "⁻" : "") + String(Math.abs(power)).replace(/\d/g, (digit) => raised[Number(digit)]!);

/** Made once, for it is slow to make. */
const thousands = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A whole number: 12,345. */
export const count = (value: number): string => thousands.format(value);

/** A true minus sign. */
const signed = (text: string): string => text.replace("-", "−");

/** With so many digits after the point. */
export const fixed =
  (digits: number) =>
  (value: number): string =>
    signed(value.toFixed(digits)).replace(/^−(0(\.0*)?)$/, "$1");

/** A number of any size, in about three digits: 1.00, 47.1, 2,310, 4.2 × 10⁹, 3 × 10⁻⁷. */
export function showNumber(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e5 || size < 1e-3) {
    const power = Math.floor(Math.log10(size));
    return `${signed((value / 10 ** power).toFixed(1))} × 10${superscript(power)}`;
  }
  if (size >= 1000) return signed(count(Math.round(value)));
  return signed(value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3));
}

/** A power of ten, or a plain number near one. */
export function showTick(value: number): string {
  const power = Math.round(Math.log10(value));
  if (power >= -2 && power <= 3) return String(Number(value.toPrecision(1)));
  return `10${superscript(power)}`;
}
