// Question: how is HTML written so that nothing from a run folder can become markup or a script?
//
// A tagged template escapes every value; only markup that a template made, or that is said to be safe, is inserted
// unchanged. JSON for a script element is escaped so that no text in it can end the element.

/** Markup that was made by `html` or is known to be safe. */
export interface Markup {
  readonly markup: string;
  /** The markup itself. */
  toString(): string;
}

class SafeMarkup implements Markup {
  readonly markup: string;

  constructor(markup: string) {
    this.markup = markup;
  }

  toString(): string {
    return this.markup;
  }
}

type Value = Markup | string | number | undefined | false | readonly Value[];

/** HTML with its values escaped. Lists are joined; undefined and false become nothing. */
export const html = (parts: TemplateStringsArray, ...values: readonly Value[]): Markup =>
  new SafeMarkup(parts.reduce((before, part, index) => `${before}${written(values[index - 1])}${part}`));

function written(value: Value): string {
  if (value === undefined || value === false) return "";
  // By its class: an object that only looks like markup, such as one read from a file, is none.
  if (value instanceof SafeMarkup) return value.markup;
  if (isList(value)) return value.map(written).join("");
  if (typeof value === "string" || typeof value === "number") return escape(String(value));
  throw new TypeError("html: a value is neither markup, text, a number nor a list; these are allowed.");
}

const isList = (value: Value): value is readonly Value[] => Array.isArray(value);

/** Text whose markup can be trusted, such as a drawing that Vega made. */
export const trusted = (text: string): Markup => new SafeMarkup(text);

/** JSON for a script element, without `<` and without the two line separators that only JavaScript treats as such. */
export function scriptJson(value: unknown): Markup {
  const code = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return trusted(JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, code));
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text as it may stand in an HTML or SVG document. */
export const escape = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => entities[character]!);
