// Question: which addresses of a memory are free?
//
// Blocks are handed out first fit: the lowest gap that is large enough, else past the last block. What is given
// back joins the gaps beside it. Blocks start at multiples of 64 bytes and are followed by at least as many,
// because kernels read a little past the end of a buffer.

const ALIGNMENT = 64;

export interface Heap {
  /** The address of a block of at least so many bytes. What it holds is not defined. */
  allocate(bytes: number): number;
  release(address: number): void;
  /** Let a block grow; its new address, which may overlap the old one. When it cannot, nothing has changed. */
  resize(address: number, bytes: number): number;
  /** The highest address that was ever handed out, which is what the memory has grown to. */
  used(): number;
}

interface Gap {
  readonly address: number;
  readonly size: number;
}

/**
 * @param start the first address, a multiple of 64
 * @param reach makes the memory so many bytes long, or throws; without it there is no memory, and no limit
 */
export function createHeap(start: number, reach: (bytes: number) => void = () => {}): Heap {
  let [end, used] = [start, start];
  /** In order of their addresses, no two side by side, none at the end. */
  let gaps: readonly Gap[] = [];
  const sizes = new Map<number, number>();

  const allocate = (bytes: number): number => {
    const size = Math.ceil((bytes + ALIGNMENT) / ALIGNMENT) * ALIGNMENT;
    const found = gaps.find((gap) => gap.size >= size);
    const address = found?.address ?? end;
    if (found) {
      const rest = found.size > size ? [{ address: address + size, size: found.size - size }] : [];
      gaps = gaps.flatMap((gap) => (gap === found ? rest : [gap]));
    } else {
      reach(end + size);
      end += size;
      used = Math.max(used, end);
    }
    sizes.set(address, size);
    return address;
  };
  const sizeAt = (address: number): number => {
    const size = sizes.get(address);
    if (size === undefined) throw new Error(`heap: there is no block at ${address}.`);
    return size;
  };
  const release = (address: number): void => {
    const size = sizeAt(address);
    sizes.delete(address);
    const before = gaps.find((gap) => gap.address + gap.size === address);
    const after = gaps.find((gap) => gap.address === address + size);
    const joined = {
      address: before?.address ?? address,
      size: (before?.size ?? 0) + size + (after?.size ?? 0),
    };
    gaps = gaps.filter((gap) => gap !== before && gap !== after);
    if (joined.address + joined.size === end) end = joined.address;
    else gaps = [...gaps, joined].sort((a, b) => a.address - b.address);
  };

  return {
    allocate,
    release,
    resize(address, bytes) {
      const before = [end, gaps, sizeAt(address)] as const;
      release(address);
      try {
        return allocate(bytes);
      } catch (error) {
        [end, gaps] = before;
        sizes.set(address, before[2]);
        throw error;
      }
    },
    used: () => used,
  };
}
