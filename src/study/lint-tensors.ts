// Question: do two files agree in the tensors that belong to no connection: embeddings, attention, experts, the head?
//
// Conversions copy these tensors, so they must be equal, or rounded to 16 bits. They are read side by side in parts, one
// tensor after another, so files may be larger than the memory. Tensors are compared by name; if fewer than half of one
// file's names are known in the other, the programs that wrote them name their tensors otherwise, and nothing follows
// from a name that only one of them has. An output matrix that is the embedding again need not be stored.

import { showMany } from "../basics/show.ts";
import type { DescribedTensor } from "../files/safetensors-format.ts";
import type { OpenShards } from "../files/shards.ts";
import { isEmbedding, isOutputMatrix } from "../interop/whole-model.ts";
import { type Comparison, compareNumbers } from "./lint-alike.ts";
import { type LintCheck, small, some } from "./lint-check.ts";
import { explainPart } from "./lint-explain.ts";
import { matchNames } from "./lint-names.ts";

const name = "other tensors";
const expected = "the embeddings, blocks and head that the other file has";

/** A file whose tensors are compared, and which of them. */
export interface TensorSource {
  readonly file: OpenShards;
  readonly names: readonly string[];
}

interface Pair {
  readonly here: DescribedTensor;
  readonly there: DescribedTensor;
}

interface Difference {
  readonly name: string;
  readonly what: string;
  readonly pair?: Pair;
}

/** The check of all tensors beside the connections; undefined where neither file has any. */
export function checkTensors(here: TensorSource, there: TensorSource): LintCheck | undefined {
  const fewest = Math.min(here.names.length, there.names.length);
  if (here.names.length + there.names.length === 0) return undefined;
  const { pairs, onlyHere, onlyThere } = matchNames(here.names, there.names);
  const sameNames = 2 * pairs.length >= fewest;

  const different: Difference[] = [];
  const rounded: (Comparison & { readonly name: string })[] = [];
  const unread: string[] = [];
  for (const [ours, theirs] of pairs) {
    const pair = { here: here.file.find(ours)!, there: there.file.find(theirs)! };
    const [a, b] = [pair.here, pair.there];
    if (a.shape.join() !== b.shape.join()) {
      different.push({ name: ours, what: `[${a.shape.join(", ")}] here, [${b.shape.join(", ")}] there` });
    } else if (!isSameBytes(here.file, there.file, pair)) {
      if (!isFloat(a) || !isFloat(b)) {
        if (a.dtype === b.dtype) different.push({ name: ours, what: `other values (${a.dtype})` });
        else unread.push(`${ours} (${a.dtype} here, ${b.dtype} there)`);
        continue;
      }
      const found = compareNumbers(inParts(here.file, there.file, pair));
      if (found.difference === 0) continue;
      if (found.rounded.length > 0) rounded.push({ name: ours, ...found });
      else different.push({ name: ours, what: placeText(found), pair });
    }
  }
  const tied = [
    ...onlyHere.filter((each) => isEmbeddingAgain(here.file, each)),
    ...onlyThere.filter((each) => isEmbeddingAgain(there.file, each)),
  ];
  const missing = sameNames
    ? [
        ...onlyHere.map((each) => ({ name: each, what: "missing in the other file" })),
        ...onlyThere.map((each) => ({ name: each, what: "missing in this file" })),
      ].filter((each) => !tied.includes(each.name))
    : [];
  const left = [
    ...(sameNames
      ? []
      : [
          `${showMany(onlyHere.length, "tensor")} of this file and ${onlyThere.length} of the other were not compared, because their names differ, such as ${onlyHere[0]} and ${onlyThere[0]}`,
        ]),
    ...(unread.length > 0 ? [`${unread.length} were not compared, because of their types: ${some(unread)}`] : []),
  ];
  const notes = [...left, ...tied.map((each) => `${each}, which only one file has, is its embedding again`)];
  const also = notes.map((text) => `; ${text}`).join("");

  const wrong = [...different, ...missing];
  if (wrong.length > 0) {
    const shown = wrong.slice(0, 3).map((each) => `${each.name}: ${each.what}`);
    const more = wrong.length > 3 ? `; and ${wrong.length - 3} more` : "";
    return {
      name,
      verdict: "error",
      measured: `${wrong.length} of ${pairs.length + missing.length} tensors beside the connections differ (${shown.join("; ")}${more})${also}`,
      expected,
      where: wrong.map((each) => each.name),
      remedy:
        different
          .slice(0, MOST_EXPLAINED)
          .map((each) => explained(here.file, there.file, each, different))
          .find((text) => text !== undefined) ??
        (different.length > 0
          ? "The files compute different functions: they are of different training steps, or one of them was changed."
          : "A file without these tensors is no whole model: write it again with all of them."),
    };
  }
  const [one] = rounded;
  if (one)
    return {
      name,
      verdict: "warning",
      measured: `${rounded.length} of ${pairs.length} tensors beside the connections agree up to ${one.rounded[0]!.what}, such as ${one.name}: largest difference ${small(one.difference)}${also}`,
      expected,
      where: rounded.map((each) => each.name),
      remedy: "What was rounded does not come back: keep the file with more bits, too.",
    };
  return {
    name,
    verdict: left.length > 0 ? "undecided" : "good",
    measured: [
      ...(pairs.length > 0
        ? [
            `${showMany(pairs.length - unread.length, "tensor")} beside the connections ${pairs.length - unread.length === 1 ? "is" : "are"} equal`,
          ]
        : []),
      ...notes,
    ].join("; "),
    expected,
    where: [],
  };
}

const isFloat = ({ dtype }: DescribedTensor): boolean => ["F32", "F16", "BF16"].includes(dtype);

/** Whether a tensor is the output matrix of a model that reads and writes with one matrix, stored twice. */
function isEmbeddingAgain(file: OpenShards, output: string): boolean {
  if (!isOutputMatrix(output)) return false;
  const pair = (each: DescribedTensor): Pair => ({ here: file.find(output)!, there: each });
  return file.tensors.some((each) => isEmbedding(each.name) && isSameBytes(file, file, pair(each)));
}

function isSameBytes(ours: OpenShards, theirs: OpenShards, { here, there }: Pair): boolean {
  if (here.dtype !== there.dtype || here.bytes !== there.bytes) return false;
  const others = theirs.bytes(there.name);
  for (const part of ours.bytes(here.name)) {
    const other = others.next();
    if (other.done || Buffer.compare(part, other.value) !== 0) return false;
  }
  return true;
}

/** How many numbers of a tensor are in memory at a time, for each file. */
const PART = 1 << 20;

function* inParts(ours: OpenShards, theirs: OpenShards, { here, there }: Pair) {
  const count = countOf(here);
  for (let from = 0; from < count; from += PART)
    yield [ours.readSome(here.name, from, PART), theirs.readSome(there.name, from, PART)] as const;
}

const countOf = ({ shape }: DescribedTensor): number => shape.reduce((product, size) => product * size, 1);

/** One explanation is enough, and looking for it takes a while. */
const MOST_EXPLAINED = 4;

const placeText = ({ difference, at, here, there }: Comparison): string =>
  `largest difference ${small(difference)} (number ${at}: ${here} here, ${there} there)`;

/** Which mistake would explain a tensor, if it is small enough to look for one. */
function explained(
  ours: OpenShards,
  theirs: OpenShards,
  { name: each, pair }: Difference,
  different: readonly Difference[],
): string | undefined {
  if (!pair || countOf(pair.here) > PART) return undefined;
  const twin = different.find(
    (other) =>
      other.pair &&
      other.pair !== pair &&
      other.pair.there.shape.join() === pair.here.shape.join() &&
      isSameBytes(ours, theirs, { here: pair.here, there: other.pair.there }),
  );
  if (twin) return `${each} has the numbers of the other file's ${twin.name}: tensors were exchanged.`;
  const [given, right] = [ours.read(pair.here.name), theirs.read(pair.there.name)];
  const text = explainPart(given, right);
  return text === undefined ? undefined : `This would explain ${each}: ${text}.`;
}
