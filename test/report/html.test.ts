// What is put into HTML cannot become markup, unless a template made it.

import { expect, test } from "vitest";
import { escape, html, scriptJson, trusted } from "../../src/report/html.ts";

test("values are escaped, markup and lists of it are not", () => {
  const items = ["<b>", "\"&'"].map((text) => html`<li title="${text}">${text}</li>`);
  const list = html`<ul>
    ${items}${undefined}${false}${3}
  </ul>`;
  expect(list.toString().replaceAll(/\n\s*/g, "")).toBe(
    '<ul><li title="&lt;b&gt;">&lt;b&gt;</li><li title="&quot;&amp;&#39;">&quot;&amp;&#39;</li>3</ul>',
  );
  expect(html`${trusted("<i>")}`.toString()).toBe("<i>");
  expect(escape(`<a href='x'>"&`)).toBe("&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
});

test("an object that only looks like markup is refused", () => {
  const forged = { markup: "<script>", toString: () => "<script>" };
  expect(() => html`${forged}`).toThrow(TypeError);
  expect(() => html`${Promise.resolve("x") as unknown as string}`).toThrow("neither markup, text, a number nor a list");
});

test("JSON cannot end a script element", () => {
  const value = { text: "</script><!-- & \u2028\u2029" };
  const code = scriptJson(value).toString();
  expect(code).not.toMatch(/[<>&\u2028\u2029]/);
  expect(JSON.parse(code)).toEqual(value);
});
