// Question: which place has each rank, and with whom does it do what?
//
// Ranks stand in a mesh of three axes, data × pipeline × expert, and their number is the product of the sizes:
//
//   rank = (stage · data + replica) · expert + part
//
// Ranks of one stage have the same sublayers, and each learns from its own rows. Those of one replica share the experts
// among them (expert parallelism), so the ranks that differ in their part alone talk most, and stand next to each other;
// stages talk least. Rank 0 is the first of every axis.
//
//   rows         all ranks of one stage: they have the same parameters but for the experts', and different rows
//   data         those of one stage and part: they have the same experts
//   expert       those of one stage and replica: together they have all experts
//   pipeline     those of one replica and part: together they have all stages, for the same rows

import type { Collective } from "../../runtime/collective/collective.ts";

/** How many ranks stand along each axis. */
export interface MeshSize {
  readonly data: number;
  readonly pipeline: number;
  readonly expert: number;
}

/** The axes by their names, the first of which may be left out: it takes the ranks that the others leave. */
export const meshAxes: readonly (keyof MeshSize)[] = ["data", "pipeline", "expert"];

/** A rank's place along each axis, from 0. */
export interface MeshPlace {
  readonly replica: number;
  readonly stage: number;
  readonly part: number;
}

/** The mesh as one rank sees it: its place, and the ranks with which it works. */
export interface Mesh extends MeshPlace {
  readonly size: MeshSize;
  /** All ranks. */
  readonly world: Collective;
  /** data · expert ranks, in the order of their rows: `world` itself where there is one stage. */
  readonly rows: Collective;
  readonly data: Collective;
  readonly expert: Collective;
  readonly pipeline: Collective;
}

/** What a mesh must fit. */
export interface MeshLimits {
  /** Ranks of the job. */
  readonly ranks: number;
  /** Pieces into which the model can be cut, at least one for each stage. */
  readonly pieces: number;
  /** Experts of a layer; absent without a mixture of experts. */
  readonly experts?: number;
  /** Sequences of a step, of which all ranks of a stage must have equally many. */
  readonly rows: number;
}

export const rankAt = ({ data, expert }: MeshSize, { replica, stage, part }: MeshPlace): number =>
  (stage * data + replica) * expert + part;

export function placeOf({ data, expert }: MeshSize, rank: number): MeshPlace {
  const column = Math.floor(rank / expert);
  return { part: rank % expert, replica: column % data, stage: Math.floor(column / data) };
}

/** The ranks of a job as a mesh; all of them call it at once. */
export function createMesh(world: Collective, size: MeshSize): Mesh {
  const { data, pipeline, expert } = size;
  const place = placeOf(size, world.rank);
  const along = (many: number, other: (index: number) => Partial<MeshPlace>): Collective => {
    const ranks = Array.from({ length: many }, (_, index) => rankAt(size, { ...place, ...other(index) }));
    return many === world.size ? world : world.group(ranks);
  };
  return {
    size,
    ...place,
    world,
    rows: along(data * expert, (index) => ({ replica: Math.floor(index / expert), part: index % expert })),
    data: along(data, (replica) => ({ replica })),
    expert: along(expert, (part) => ({ part })),
    pipeline: along(pipeline, (stage) => ({ stage })),
  };
}

export const showMesh = (size: MeshSize): string => meshAxes.map((axis) => `${axis}=${size[axis]}`).join(",");

/** What is wrong with a mesh, in words; undefined where it fits. */
function misfit(size: MeshSize, { ranks, pieces, experts, rows }: MeshLimits): string | undefined {
  const { data, pipeline, expert } = size;
  if (data * pipeline * expert !== ranks)
    return `that is ${data * pipeline * expert} processes, and ${ranks === 1 ? "1 is" : `${ranks} are`} there`;
  if (pipeline > pieces)
    return `the model can be cut into ${pieces} stages at most: it is cut between sublayers, and with recomputation where a state is stored`;
  if (experts === undefined && expert > 1) return "the model has no mixture of experts to be shared";
  if (experts !== undefined && experts % expert > 0)
    return `${experts} experts cannot be shared equally by ${expert} ranks`;
  if (rows % (data * expert) > 0)
    return `${rows} sequences a step cannot be shared equally by ${data * expert} ranks of a stage (data · expert)`;
  return undefined;
}

/**
 * The mesh that was asked for, with what was left out.
 *
 * @param wanted data takes what the others leave, pipeline and expert are 1
 * @throws RangeError when it does not fit, with the nearest that does
 */
export function fitMesh(wanted: Partial<MeshSize>, limits: MeshLimits): MeshSize {
  const { pipeline = 1, expert = 1 } = wanted;
  const size = { data: wanted.data ?? Math.max(1, Math.floor(limits.ranks / pipeline / expert)), pipeline, expert };
  const trouble = misfit(size, limits);
  if (trouble === undefined) return size;
  throw new RangeError(`--mesh ${showMesh(size)}: ${trouble}. ${remedyOf(size, limits)}`);
}

function remedyOf(size: MeshSize, limits: MeshLimits): string {
  for (let { ranks } = limits; ranks > 0; ranks--) {
    const nearest = nearestOf(size, { ...limits, ranks });
    if (!nearest) continue;
    if (ranks === limits.ranks) return `Take --mesh ${showMesh(nearest)}.`;
    return `No mesh of ${limits.ranks} processes fits; take ${ranks} with --mesh ${showMesh(nearest)}.`;
  }
  return "Train it in one process.";
}

/** The mesh that fits and differs least, by the ratios of the sizes; of equals the one with fewer stages. */
function nearestOf(size: MeshSize, limits: MeshLimits): MeshSize | undefined {
  const { ranks } = limits;
  const divisors = Array.from({ length: ranks }, (_, index) => index + 1).filter((each) => ranks % each === 0);
  const all = divisors.flatMap((pipeline) =>
    divisors
      .filter((expert) => ranks % (pipeline * expert) === 0)
      .map((expert): MeshSize => ({ data: ranks / pipeline / expert, pipeline, expert })),
  );
  const distance = (other: MeshSize): number =>
    meshAxes.reduce((sum, axis) => sum + Math.abs(Math.log2(other[axis] / size[axis])), 0);
  return all.filter((each) => misfit(each, limits) === undefined).sort((a, b) => distance(a) - distance(b))[0];
}

/**
 * A mesh as it is written, such as "data=2,pipeline=2".
 *
 * @throws RangeError for what is no such text; it names the axes
 */
export function parseMesh(text: string): Partial<MeshSize> {
  const wanted: Partial<Record<keyof MeshSize, number>> = {};
  for (const each of text.split(",").map((part) => part.trim())) {
    const [, name, digits] = /^(\w+)=(\d+)$/.exec(each) ?? [];
    const axis = meshAxes.find((known) => known === name);
    const many = Number(digits);
    if (axis === undefined || !(many >= 1 && many <= 65536) || wanted[axis] !== undefined)
      throw new RangeError(
        `--mesh ${text}: "${each}" is given; each part must be ${meshAxes.map((known) => `${known}=N`).join(", ")}, once, with N from 1. Write such as --mesh data=2,pipeline=2.`,
      );
    wanted[axis] = many;
  }
  return wanted;
}
