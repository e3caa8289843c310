// Question: where in the cache does a text lie, and which of its tokens need not be read?
//
// The cache is a pool of blocks of B positions. Texts that begin alike share the blocks of their beginning: these are the
// nodes of a tree, each with the B tokens that it holds after those of the nodes above it. A text walks down from the root
// by its own tokens. What it finds is not read again, be it full or still being read by another text, for which it then
// waits; for the rest it makes nodes, which it fills itself. Only blocks that lie wholly before the last of its first
// tokens are shared, because the scores after that are always wanted: so no text writes into what another looks at.
//
//   root ── "You are a" ── "helpful …" ── "user: hi"        three texts with a system prompt: it is read once
//                      │             └─── "user: why"
//                      └── "poet, …"
//
// When a text ends, all of its full blocks stay in the tree. Where no block is free, the one is taken that has been
// without a text for longest and has no node below it. There are blocks enough for every text at its longest.

/** Where a text lies. */
export interface Place {
  readonly slot: number;
  /** Whether what it has in common with others is read; if not, another text is reading it. */
  isReady(): boolean;
  /** How many of its first tokens need not be read, once it is ready. */
  readonly known: number;
  /** How many of its first tokens lie in blocks that others may look at: these must stay. */
  readonly shared: number;
  /** The blocks up to a position, in order; the same list as long as no more are needed. */
  reach(position: number): readonly number[];
  /** So many tokens of the text have been read. */
  note(read: number): void;
  /** The text has ended; `held` are its tokens in the cache, from the first on. */
  leave(held: readonly number[]): void;
}

export interface Blocks {
  /** How many texts there is room for. */
  readonly free: number;
  /** A place for a text that begins with such tokens; there must be one. */
  take(tokens: readonly number[]): Place;
}

interface Node {
  readonly parent: Node | undefined;
  readonly key: string;
  readonly block: number;
  readonly below: Map<string, Node>;
  /** The text that fills it, until it is full. */
  writer: Place | undefined;
  full: boolean;
  /** Texts that have it on their way. */
  users: number;
  /** When a text last came or went. */
  used: number;
}

/**
 * @param slots how many texts at a time
 * @param count blocks of the pool, enough for as many texts at their longest
 * @param size positions of a block
 */
export function createBlocks(slots: number, count: number, size: number): Blocks {
  const freeSlots = Array.from({ length: slots }, (_, slot) => slot);
  const freeBlocks = Array.from({ length: count }, (_, block) => block);
  const nodes = new Set<Node>();
  const roots = new Map<string, Node>();
  let clock = 0;

  const keyOf = (tokens: readonly number[], at: number): string => tokens.slice(at * size, (at + 1) * size).join();
  const siblings = (parent: Node | undefined): Map<string, Node> => parent?.below ?? roots;

  const drop = (node: Node): void => {
    nodes.delete(node);
    siblings(node.parent).delete(node.key);
    freeBlocks.push(node.block);
  };
  const allocate = (): number => {
    if (freeBlocks.length === 0) {
      const idle = [...nodes].filter(({ users, below }) => users === 0 && below.size === 0);
      drop(idle.reduce((oldest, node) => (node.used < oldest.used ? node : oldest)));
    }
    return freeBlocks.pop()!;
  };
  const add = (parent: Node | undefined, key: string, block: number, writer?: Place): Node => {
    const node = { parent, key, block, below: new Map(), writer, full: writer === undefined, users: 0, used: clock };
    siblings(parent).set(key, node);
    nodes.add(node);
    return node;
  };

  const take = (tokens: readonly number[]): Place => {
    const slot = freeSlots.shift()!;
    const path: Node[] = [];
    /** Of the whole text: those of the path, and then its own. */
    let blocks: number[] = [];
    const place: Place = {
      slot,
      isReady() {
        const open = path.findIndex(({ full }) => !full);
        if (open < 0) return true;
        // Its writer has left before it was full.
        if (path[open]!.writer === undefined)
          for (const node of path.slice(open)) if (!node.full) node.writer ??= place;
        return path[open]!.writer === place;
      },
      get known() {
        const open = path.findIndex(({ full }) => !full);
        return size * (open < 0 ? path.length : open);
      },
      shared: size * Math.floor(Math.max(0, tokens.length - 1) / size),
      reach(position) {
        while (blocks.length * size <= position) blocks = [...blocks, allocate()];
        return blocks;
      },
      note(read) {
        for (const [at, node] of path.entries())
          if (node.writer === place && (at + 1) * size <= read) Object.assign(node, { full: true, writer: undefined });
      },
      leave(held) {
        clock++;
        for (const node of path.toReversed()) {
          node.users--;
          node.used = clock;
          if (node.writer === place) node.writer = undefined;
          if (!node.full && node.users === 0) drop(node);
        }
        // The full ones of its own follow, unless the tree has such already.
        const isWhole = path.every(({ full }) => full);
        let last = path.at(-1);
        for (const [at, block] of blocks.entries()) {
          if (at < path.length) continue;
          const key = keyOf(held, at);
          if (isWhole && (at + 1) * size <= held.length && !siblings(last).has(key)) last = add(last, key, block);
          else {
            freeBlocks.push(block);
            last = siblings(last).get(key) ?? last;
          }
        }
        freeSlots.push(slot);
      },
    };
    clock++;
    for (let at = 0; (at + 1) * size <= place.shared; at++) {
      const key = keyOf(tokens, at);
      const node = siblings(path.at(-1)).get(key) ?? add(path.at(-1), key, allocate(), place);
      node.users++;
      node.used = clock;
      path.push(node);
    }
    blocks = path.map(({ block }) => block);
    return place;
  };
  return {
    get free() {
      return freeSlots.length;
    },
    take,
  };
}
