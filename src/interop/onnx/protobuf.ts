// Question: how is a message of protocol buffers written?
//
// A field is its number and the kind of its value in one variable-length integer, then the value: such an integer,
// or a length and so many bytes, which hold a text or a message. Large values are not copied: a message is a list
// of parts.
//
// Source: https://protobuf.dev/programming-guides/encoding

/** The bytes of a message, to be written one part after another. */
export type Parts = readonly Uint8Array[];

const VARINT = 0;
const LENGTH = 2;

export const sizeOfParts = (parts: Parts): number => parts.reduce((sum, { length }) => sum + length, 0);

/** An int64, in seven bits a byte, the lowest first. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Uint8Array.of(...bytes, Number(rest));
}

const key = (field: number, kind: number): Uint8Array => varint((field << 3) | kind);

/** An integer or an enumeration's value. */
export const integer = (field: number, value: number): Parts => [key(field, VARINT), varint(value)];

/** A message within a message, or bytes. */
export const message = (field: number, parts: Parts): Parts => [
  key(field, LENGTH),
  varint(sizeOfParts(parts)),
  ...parts,
];

export const text = (field: number, value: string): Parts => message(field, [new TextEncoder().encode(value)]);

/** A message of these fields in their order. */
export const fields = (...each: readonly Parts[]): Parts => each.flat();
