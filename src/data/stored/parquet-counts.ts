// Question: are the counts and sizes of a parquet column believable, before anything is read by them?
//
// A column of a group of rows is a run of pages, each with a head of its own. A damaged head can ask for a billion values
// of a page of a hundred bytes, and a reader that believes it is busy for minutes, or out of memory. So the heads are
// walked first: pages lie one after the other within the column, unpack to no more than it, and have as many values as it
// has. A column of texts has one value for each row.

import type { AsyncBuffer, ColumnMetaData, PageHeader } from "hyparquet";

/** Bytes that are read for a head; one with long statistics asks for more. */
const HEAD_BYTES = 1 << 12;
/** The longest head that is believed. */
const MOST_HEAD_BYTES = 1 << 24;
/** A text in a dictionary has at least its length. */
const LEAST_TEXT_BYTES = 4;

/** Reads the head of a page, and leaves the reader behind it; hyparquet's own. */
export type ReadHead = (reader: { view: DataView; offset: number }) => PageHeader;

/**
 * Walk the pages of a column of texts.
 *
 * @param rows rows of its group
 * @throws Error that says what is not believable
 */
export async function expectCounts(
  file: AsyncBuffer,
  meta: ColumnMetaData,
  rows: number,
  readHead: ReadHead,
): Promise<void> {
  const { dictionary_page_offset: dictionary, data_page_offset: first, total_compressed_size: size } = meta;
  const start = Number(dictionary || first);
  const end = start + Number(size);
  const unpacked = Number(meta.total_uncompressed_size);
  const expect = (holds: boolean, what: string): void => {
    if (!holds) throw new Error(`the column ${meta.path_in_schema.join(".")} has ${what}`);
  };
  expect(start >= 4 && Number(size) >= 0 && end <= file.byteLength, `pages outside the file, at ${start} to ${end}`);
  expect(Number(meta.num_values) === rows, `${meta.num_values} values in a group of ${rows} rows`);
  let values = 0;
  for (let at = start; at < end && values < rows;) {
    const { head, bytes } = await headAt(file, at, end, readHead);
    const { compressed_page_size: packed, uncompressed_page_size: whole } = head;
    expect(packed >= 0 && at + bytes + packed <= end, `a page of ${packed} bytes at ${at}, which do not fit`);
    expect(whole >= 0 && whole <= unpacked, `a page of ${whole} bytes unpacked at ${at}; all have ${unpacked}`);
    const count = countOf(head);
    expect(count !== undefined, `a page at ${at} whose head contradicts itself`);
    if (head.type === "DICTIONARY_PAGE") {
      expect(count! >= 0 && count! * LEAST_TEXT_BYTES <= whole, `a dictionary of ${count} texts in ${whole} bytes`);
    } else {
      expect(count! >= 0 && values + count! <= rows, `a page of ${count} values at ${at}; ${rows - values} are left`);
      values += count!;
    }
    at += bytes + packed;
  }
  expect(values === rows, `pages with ${values} values for ${rows} rows`);
}

/** Values of a page whose head has all that its kind has, and nothing that cannot be. */
function countOf({ type, compressed_page_size: packed, ...head }: PageHeader): number | undefined {
  if (type === "DICTIONARY_PAGE") return head.dictionary_page_header?.num_values;
  if (type === "DATA_PAGE") {
    const { num_values: count, encoding, definition_level_encoding: levels } = head.data_page_header ?? {};
    return encoding && levels ? count : undefined;
  }
  if (type !== "DATA_PAGE_V2" || !head.data_page_header_v2) return undefined;
  const { num_values: count, num_nulls: nulls, num_rows: rows, encoding, ...lengths } = head.data_page_header_v2;
  const levels = lengths.definition_levels_byte_length + lengths.repetition_levels_byte_length;
  return encoding && rows === count && nulls >= 0 && nulls <= count && levels >= 0 && levels <= packed
    ? count
    : undefined;
}

async function headAt(
  file: AsyncBuffer,
  at: number,
  end: number,
  readHead: ReadHead,
): Promise<{ readonly head: PageHeader; readonly bytes: number }> {
  for (let length = HEAD_BYTES; ; length *= 8) {
    const stop = Math.min(end, at + length);
    const reader = { view: new DataView(await file.slice(at, stop)), offset: 0 };
    try {
      const head = readHead(reader);
      return { head, bytes: reader.offset };
    } catch (error) {
      if (stop < end && length < MOST_HEAD_BYTES) continue;
      throw new Error(`the head of a page at ${at} makes no sense`, { cause: error });
    }
  }
}
