// Question: how is a value that came from outside looked at, and how is a table asked for a name that did?
//
// Every object inherits names, such as constructor, toString and __proto__, and a file or a command line may use
// them. So a table is asked for its own entries only, and a field is made as an own one, never assigned.

import { didYouMean } from "./names.ts";
import { showValue } from "./show.ts";

/** Whether it is an object with named fields: neither null nor a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** More levels than any file of this library has: what is deeper would exhaust the stack of whoever visits it. */
const MOST_LEVELS = 64;

/** Whether lists and objects lie in each other too deeply to be visited. */
export function isTooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_LEVELS) return true;
    level = level.flatMap((each) => (typeof each === "object" && each !== null ? Object.values(each) : []));
  }
  return false;
}

/** Whether a table itself has an entry of that name; what every object inherits does not count. */
export function hasEntry<T extends object>(table: T, name: PropertyKey): name is keyof T {
  return Object.hasOwn(table, name);
}

/** A table's own entry; undefined for another name. */
export function ownEntry<V>(table: Readonly<Record<string, V>>, name: string): V | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

/**
 * A table's own entry by a name that somebody gave.
 *
 * @param place who asks, and for what, such as "mhc: the residual map"
 * @throws RangeError with the names that there are
 */
export function entryOf<K extends string, V>(table: Readonly<Record<K, V>>, name: K, place: string): V {
  if (Object.hasOwn(table, name)) return table[name];
  const names = Object.keys(table);
  throw new RangeError(
    `${place} is ${showValue(name)}; it must be one of ${names.join(", ")}.${didYouMean(name, names)}`,
  );
}

/** Give an object a field of its own, whatever the name is: an assignment to __proto__ would change what it inherits. */
export function setOwn(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
}

/** The names that every object inherits and that no field of this library has. */
const inherited: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(Object.prototype));

/** Whether a name means something to JavaScript in every object, as __proto__ and constructor do. */
export function isInherited(name: string): boolean {
  return inherited.has(name);
}
