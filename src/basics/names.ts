// Question: which known name did somebody mean by one that is not known?
//
// The nearest by spelling: letters alone count, in lower case, and one letter put in, left out, changed or swapped
// with its neighbour is a distance of one. Initials ("lr" for learning-rate) and a name with or without a word more
// ("batch-size" for batch) are near too.

/** Letters and digits in lower case. */
const plain = (name: string): string => name.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");

/** The words of "learning-rate", "learningRate" or "learning rate". */
const wordsOf = (name: string): string[] =>
  name
    .replaceAll(/(\p{Ll})(\p{Lu})/gu, "$1 $2")
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "");

/** Names longer than this are no misspellings. */
const LONGEST = 64;

/** The known name that is nearest to a given one; undefined when none is near. */
export function nearestName<Name extends string>(given: string, known: readonly Name[]): Name | undefined {
  if (given.length > LONGEST) return undefined;
  const wanted = plain(given);
  if (wanted === "") return undefined;
  const same = known.find((name) => plain(name) === wanted);
  if (same !== undefined) return same;
  const initials = known.filter((name) => {
    const words = wordsOf(name);
    return words.length > 1 && words.map((word) => word[0]).join("") === wanted;
  });
  if (initials[0] !== undefined) return initials[0];
  const allowed = wanted.length < 3 ? 0 : Math.max(1, Math.floor(wanted.length / 3));
  return (
    least(known, (name) => within(distanceOf(wanted, plain(name)), allowed)) ??
    least(known, (name) => sharedWord(given, name)) ??
    // The beginning of a longer name.
    least(known, (name) =>
      wanted.length < 5 ? undefined : within(distanceOf(wanted, plain(name).slice(0, wanted.length)), allowed),
    )
  );
}

const within = (distance: number, most: number): number | undefined => (distance <= most ? distance : undefined);

/** The name with the least measure, the first of several; undefined where none has one. */
function least<Name>(known: readonly Name[], measure: (name: Name) => number | undefined): Name | undefined {
  let best: { name: Name; value: number } | undefined;
  for (const name of known) {
    const value = measure(name);
    if (value !== undefined && (best === undefined || value < best.value)) best = { name, value };
  }
  return best?.name;
}

/** Where in `given` the first word stands that the two share, if one has all words of the other in three letters. */
function sharedWord(given: string, name: string): number | undefined {
  const [asked, words] = [wordsOf(given), wordsOf(name)];
  const begins = (one: string, other: string): boolean =>
    Math.min(one.length, other.length) >= 3 && (one.startsWith(other) || other.startsWith(one));
  const [few, many] = asked.length <= words.length ? [asked, words] : [words, asked];
  if (few.length === 0 || !few.every((word) => many.some((other) => begins(word, other)))) return undefined;
  return asked.findIndex((word) => words.some((other) => begins(word, other)));
}

/** Letters put in, left out, changed or swapped with their neighbour (optimal string alignment). */
function distanceOf(a: string, b: string): number {
  let [before, row]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = a[i - 1] === b[j - 1] ? 0 : 1;
      let fewest = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + changed);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        fewest = Math.min(fewest, before[j - 2]! + 1);
      next.push(fewest);
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}

/** ` Did you mean "streams"?`, or nothing; it goes at the end of a message. What is no text is near to nothing. */
export function didYouMean(given: unknown, known: readonly string[]): string {
  const nearest = typeof given === "string" ? nearestName(given, known) : undefined;
  return nearest === undefined ? "" : ` Did you mean "${nearest}"?`;
}
