// Question: on which texts can a page train?
//
// Two come with the site: the build (vite.config.ts) makes a file of each, and a page fetches it when it is trained on.
// Both are in the public domain. The third is one's own.

import type { Document } from "../../../../src/data/split.ts";

/** A text that can be chosen. */
interface TextEntry {
  readonly name: string;
  /** Where it lies beside the pages; absent for a text that is pasted or opened. */
  readonly file?: string;
  /** How the configuration of a run names it. */
  readonly source: string;
  /** What models are asked to go on with; absent for the first words of the text. */
  readonly prompt?: string;
}

/** The texts, in the order in which they are shown. */
export const texts: Readonly<Record<"sotu" | "moby-dick" | "own", TextEntry>> = {
  sotu: {
    name: "State of the Union: the newest 24 addresses",
    file: "texts/sotu.json",
    source: "sotu",
    prompt: "My fellow Americans,",
  },
  "moby-dick": {
    name: "Moby Dick, by Herman Melville",
    file: "texts/moby-dick.json",
    source: "moby-dick",
    prompt: "Call me Ishmael.",
  },
  own: { name: "a text of your own", source: "text" },
};
export type Text = keyof typeof texts;

/**
 * The documents of a text.
 *
 * @param own what was pasted or opened
 * @param root the folder of the pages
 * @throws Error where the file cannot be had
 */
export async function readText(text: Text, own: string, root: URL): Promise<readonly Document[]> {
  const { file } = texts[text];
  if (file === undefined) return [{ name: "text", text: own }];
  const answer = await fetch(new URL(file, root));
  if (!answer.ok)
    throw new Error(
      `The text could not be loaded: for ${file} the server answers ${answer.status}. Try again, or choose another text.`,
    );
  return (await answer.json()) as Document[];
}

/** What models are asked to go on with. */
export function promptOf(text: Text, documents: readonly Document[]): string {
  const { prompt } = texts[text];
  return prompt ?? documents[0]!.text.trim().split(/\s+/, 3).join(" ");
}
