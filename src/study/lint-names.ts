// Question: which names of two files mean the same?
//
// Programs put their models into others, so the names of one may have a prefix that those of the other lack.

/** Names that belong together, and those that only one side has. */
export interface MatchedNames {
  readonly pairs: readonly (readonly [here: string, there: string])[];
  readonly onlyHere: readonly string[];
  readonly onlyThere: readonly string[];
}

const plain = (name: string): string => name.replace(/^(?:module\.|model\.|decoder\.|transformer\.)+(?=\D)/, "");

/** Matches equal names first, then those that are equal without a known prefix, where that leaves no choice. */
export function matchNames(here: readonly string[], there: readonly string[]): MatchedNames {
  const [ofHere, ofThere] = [new Set(here), new Set(there)];
  const pairs = here.filter((name) => ofThere.has(name)).map((name) => [name, name] as const);
  const onlyHere = here.filter((name) => !ofThere.has(name));
  const onlyThere = there.filter((name) => !ofHere.has(name));
  const [groups, others] = [grouped(onlyHere), grouped(onlyThere)];
  const more = [...groups].flatMap(([name, [first, ...rest]]) => {
    const [other, ...otherRest] = others.get(name) ?? [];
    return other !== undefined && rest.length + otherRest.length === 0 ? [[first!, other] as const] : [];
  });
  const matched = new Set(more.flat());
  return {
    pairs: [...pairs, ...more],
    onlyHere: onlyHere.filter((name) => !matched.has(name)),
    onlyThere: onlyThere.filter((name) => !matched.has(name)),
  };
}

function grouped(names: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const group = groups.get(plain(name));
    if (group) group.push(name);
    else groups.set(plain(name), [name]);
  }
  return groups;
}
