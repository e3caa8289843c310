/** All that an asynchronous iterable gives, in order. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** What an asynchronous function makes of each item, one after the other. */
export async function oneByOne<T, R>(items: Iterable<T>, act: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await act(item, results.length));
  return results;
}
