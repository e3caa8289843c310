// Question: How is HTML written so that nothing from a run folder can become markup or a script?
//
// By hono's tagged template, which escapes every value; only what the template made goes in as it is. Its own type
// allows promises among the values, and then returns one; ours does not, so pages are put together at once. JSON for
// a script element is escaped so that no text in it can end the element.

import { html as template, raw } from "hono/html";

/** Markup that was made by `html` or is known to be safe. */
export type Markup = ReturnType<typeof raw>;

type Value = Markup | string | number | undefined | false | readonly Value[];

/** HTML with its values escaped; lists are joined, undefined and false leave nothing. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  const markup = template(parts, ...values);
  if (markup instanceof Promise) throw new TypeError("html: a value is a promise; allowed: markup, texts, numbers");
  return markup;
}

/** Text whose markup this library itself has written, such as a drawing of Vega's. */
export const trusted = (text: string): Markup => raw(text);

/** JSON for a script element: no `<`, and none of the two ends of line that JavaScript alone knows. */
export function scriptJson(value: unknown): Markup {
  const code = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return raw(JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, code));
}

/** Text as it may stand in an HTML or SVG document. */
export const escape = (text: string): string => html`${text}`.toString();
