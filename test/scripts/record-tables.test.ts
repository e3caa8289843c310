// The tables of the documentation are what the fields say now.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { recordPages, withRecordTables } from "../../scripts/record-tables.ts";

test.each(recordPages)("%s is up to date (node scripts/record-tables.ts writes it)", (name) => {
  const page = readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
  expect(page).toContain("<!-- table: ");
  expect(withRecordTables(page)).toBe(page);
});

test("a table that is not known is refused", () => {
  expect(() => withRecordTables("<!-- table: instrument -->\n<!-- end -->")).toThrow('There is no table "instrument"');
});
