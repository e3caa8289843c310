// Question: How does an object get an optional field only where there is a value for it?
//
// `{ name, ...given({ seed }) }` has a `seed` only if it is not undefined. JSON, equality and spreads see the difference
// between an absent field and one that is undefined, and `exactOptionalPropertyTypes` holds the types to it.

/** These fields, but for those that are undefined. */
export function given<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> };
}
