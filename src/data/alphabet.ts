// Question: how does `tokenizer.json`, a text file, write down a token that is any string of bytes?
//
// With GPT-2's alphabet of 256 printable characters, one a byte: a byte that is a visible Latin-1
// character stands for itself, the 68 others take the characters from U+0100 on, in order. So a
// space is written Ġ (U+0120) and a line feed Ċ (U+010A).

const isVisible = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

const characterOf: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isVisible(byte) ? byte : next++));
})();

const byteOf: ReadonlyMap<string, number> = new Map(characterOf.map((character, byte) => [character, byte]));

/** The alphabet's spelling of some bytes. */
export function spell(bytes: Uint8Array): string {
  let spelling = "";
  for (const byte of bytes) spelling += characterOf[byte]!;
  return spelling;
}

/** The bytes of a spelling; undefined where a character is not of the alphabet. */
export function unspell(spelling: string): Uint8Array | undefined {
  const bytes = new Uint8Array(spelling.length);
  for (let i = 0; i < spelling.length; i++) {
    const byte = byteOf.get(spelling[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
