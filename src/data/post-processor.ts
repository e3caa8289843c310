// Question: which tokens does a `tokenizer.json` put around a text?
//
// Its post-processor says so: Llama 3's puts `<|begin_of_text|>` first. It is kept as it is, so that an exported
// tokenizer does what the imported one did, and read so far as to know the tokens before and after one text.

import { isObject } from "../basics/objects.ts";

/** The post-processor of a tokenizer. */
export interface PostProcessor {
  /** As it stands in `tokenizer.json`. */
  readonly json: Readonly<Record<string, unknown>>;
  /** The tokens before a text. */
  readonly before: readonly number[];
  /** The tokens after a text. */
  readonly after: readonly number[];
}

type Around = Pick<PostProcessor, "before" | "after">;
type Fail = (why: string) => never;

/**
 * Read the field `post_processor`.
 * @param isToken whether there is a token of this number
 * @param fail called with what cannot be read
 */
export function readPostProcessor(
  value: unknown,
  isToken: (id: unknown) => id is number,
  fail: Fail,
): PostProcessor | undefined {
  if (value === null || value === undefined) return undefined;
  const unsupported = (): never => fail(`its post_processor is ${JSON.stringify(value).slice(0, 300)}`);
  const tokenOf = (id: unknown): number =>
    isToken(id)
      ? id
      : fail(`its post_processor puts the token ${JSON.stringify(id)} around a text, which does not exist`);
  const around = (step: unknown): Around => {
    if (!isObject(step)) return unsupported();
    if (step["type"] === "ByteLevel") return { before: [], after: [] };
    if (step["type"] === "Sequence") {
      const steps: unknown = step["processors"];
      if (!Array.isArray(steps)) return unsupported();
      return steps
        .map(around)
        .reduce(
          (inner, outer) => ({ before: [...outer.before, ...inner.before], after: [...inner.after, ...outer.after] }),
          { before: [], after: [] },
        );
    }
    if (step["type"] === "BertProcessing" || step["type"] === "RobertaProcessing") {
      const [first, last] = [step["cls"], step["sep"]];
      if (!Array.isArray(first) || !Array.isArray(last)) return unsupported();
      return { before: [tokenOf(first[1])], after: [tokenOf(last[1])] };
    }
    return step["type"] === "TemplateProcessing" ? template(step, tokenOf, unsupported) : unsupported();
  };
  return isObject(value) ? { json: value, ...around(value) } : unsupported();
}

/** `single` is a list of tokens with the text, `A`, among them. */
function template(
  step: Readonly<Record<string, unknown>>,
  tokenOf: (id: unknown) => number,
  unsupported: () => never,
): Around {
  const [parts, tokens] = [step["single"], step["special_tokens"]];
  if (!Array.isArray(parts) || !isObject(tokens)) return unsupported();
  const sides: { before: number[]; after: number[] } = { before: [], after: [] };
  let side = sides.before;
  for (const part of parts as readonly unknown[]) {
    if (!isObject(part)) return unsupported();
    if (isObject(part["Sequence"])) {
      if (side === sides.after || part["Sequence"]["id"] !== "A") return unsupported();
      side = sides.after;
      continue;
    }
    const name = isObject(part["SpecialToken"]) ? part["SpecialToken"]["id"] : undefined;
    const token: unknown = typeof name === "string" && Object.hasOwn(tokens, name) ? tokens[name] : undefined;
    if (!isObject(token) || !Array.isArray(token["ids"])) return unsupported();
    side.push(...token["ids"].map(tokenOf));
  }
  return side === sides.after ? sides : unsupported();
}
