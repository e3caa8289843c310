// Question: how is HTML written so that nothing from a run folder can become markup or a script?
//
// We use hono's tagged template, which escapes every value; only markup that the template made is inserted unchanged.
// Hono's type allows promises among the values, and then returns a promise. Ours does not, so pages are built
// synchronously. JSON for a script element is escaped so that no text in it can end the element.

import { html as template, raw } from "hono/html";

/** Markup that was made by `html` or is known to be safe. */
export type Markup = ReturnType<typeof raw>;

type Value = Markup | string | number | undefined | false | readonly Value[];

/** HTML with its values escaped. Lists are joined; undefined and false become nothing. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  const markup = template(parts, ...values);
  if (markup instanceof Promise)
    throw new TypeError("html: a value is a promise; markup, texts and numbers are allowed; await it first.");
  return markup;
}

/** Text whose markup can be trusted, such as a drawing that Vega made. */
export const trusted = (text: string): Markup => raw(text);

/** JSON for a script element, without `<` and without the two line separators that only JavaScript treats as such. */
export function scriptJson(value: unknown): Markup {
  const code = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return raw(JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, code));
}

/** Text as it may stand in an HTML or SVG document. */
export const escape = (text: string): string => html`${text}`.toString();
