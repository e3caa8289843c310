// Question: what does the C interface of NCCL look like?
//
// Functions, codes and types of nccl.h, as NVIDIA documents them ("NCCL API" in its user guide, 2.14 to 2.30); they have
// been the same since 2.14, the first in which a communicator need not block. Addresses and handles are uint64_t. The
// unique id, 128 bytes, is given by value.

import type { Tensor } from "../../../graph/tensor.ts";

/** Bytes of ncclUniqueId. */
export const UNIQUE_ID_BYTES = 128;

/** The type of it in the signatures below. */
export const UNIQUE_ID = "ncclUniqueId";

export type NcclCall =
  | "ncclGetVersion"
  | "ncclGetUniqueId"
  | "ncclCommInitRankConfig"
  | "ncclCommGetAsyncError"
  | "ncclCommFinalize"
  | "ncclCommDestroy"
  | "ncclCommAbort"
  | "ncclGroupStart"
  | "ncclGroupEnd"
  | "ncclAllReduce"
  | "ncclReduceScatter"
  | "ncclAllGather"
  | "ncclBroadcast"
  | "ncclSend"
  | "ncclRecv";

/** By name: the parameters. All return ncclResult_t. */
export const signatures: Readonly<Record<NcclCall, string>> = {
  ncclGetVersion: "uint64_t version",
  ncclGetUniqueId: "uint64_t id",
  ncclCommInitRankConfig: `uint64_t made, int ranks, ${UNIQUE_ID} id, int rank, uint64_t config`,
  ncclCommGetAsyncError: "uint64_t communicator, uint64_t code",
  ncclCommFinalize: "uint64_t communicator",
  ncclCommDestroy: "uint64_t communicator",
  ncclCommAbort: "uint64_t communicator",
  ncclGroupStart: "",
  ncclGroupEnd: "",
  ncclAllReduce:
    "uint64_t from, uint64_t into, size_t count, int type, int operation, uint64_t communicator, uint64_t stream",
  ncclReduceScatter:
    "uint64_t from, uint64_t into, size_t count, int type, int operation, uint64_t communicator, uint64_t stream",
  ncclAllGather: "uint64_t from, uint64_t into, size_t count, int type, uint64_t communicator, uint64_t stream",
  ncclBroadcast:
    "uint64_t from, uint64_t into, size_t count, int type, int root, uint64_t communicator, uint64_t stream",
  ncclSend: "uint64_t from, size_t count, int type, int peer, uint64_t communicator, uint64_t stream",
  ncclRecv: "uint64_t into, size_t count, int type, int peer, uint64_t communicator, uint64_t stream",
};

/** ncclSum of ncclRedOp_t. */
export const SUM = 0;

/** ncclDataType_t, and the bytes of one. */
export const dataTypes = {
  i32: { code: 2, bytes: 4 },
  f32: { code: 7, bytes: 4 },
  f64: { code: 8, bytes: 8 },
  bf16: { code: 9, bytes: 2 },
} as const;

export type DataType = keyof typeof dataTypes;

/** What a tensor's values are to NCCL. */
export const dataTypeOf = ({ dtype }: Pick<Tensor, "dtype">): (typeof dataTypes)[DataType] => dataTypes[dtype];

/**
 * ncclConfig_t as of 2.14, which later versions read by its first field, the size:
 *
 *   size 8 | magic 4 | version 4 | blocking 4 | filled up to 24
 */
export const config = { bytes: 24, magic: 0xcafebeef, version: 21_400 } as const;

/** The least version that has `blocking`. */
export const LEAST_VERSION: number = config.version;

/** Before 2.9 a version was X·1000 + Y·100 + Z; since then it is X·10000 + Y·100 + Z. */
export const showVersion = (version: number): string => {
  const unit = version < 10_000 ? 1000 : 10_000;
  return [Math.floor(version / unit), Math.floor((version % unit) / 100), version % 100].join(".");
};
