// Question: how is HTML written so that nothing from a run folder can become markup or a script?
//
// A tagged template that escapes every value; only what the same template made goes in as it is. JSON for a
// script element is escaped so that no text in it can end the element.

/** Markup that was made by `html` or is known to be safe. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  toString(): string {
    return this.text;
  }
}

type Value = Markup | string | number | undefined | false | readonly Value[];

/** HTML with its values escaped; lists are joined, undefined and false leave nothing. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  return new Markup(parts.map((part, index) => part + asText(values[index])).join(""));
}

/** Text whose markup this library itself has written, such as a drawing of Vega's. */
export function trusted(text: string): Markup {
  return new Markup(text);
}

/** JSON for a script element: no `<`, and none of the two ends of line that JavaScript alone knows. */
export function scriptJson(value: unknown): Markup {
  const code = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return new Markup(JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, code));
}

function asText(value: Value): string {
  if (value === undefined || value === false) return "";
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map(asText).join("");
  return escape(String(value));
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text as it may stand in an HTML or SVG document. */
export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
