// Question: how does an object get an optional field only if there is a value for it?
//
// `{ name, ...given({ seed }) }` has a `seed` only if it is not undefined. JSON, equality and spreads distinguish an
// absent field from an undefined one, and `exactOptionalPropertyTypes` makes the types distinguish them too.

/** The given fields without those that are undefined. */
export function given<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> };
}
