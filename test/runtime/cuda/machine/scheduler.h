// What a kernel sees of the block that runs it: given by the driver to each module.
#pragma once
struct uint3 { unsigned x, y, z; };
/** Fibres and the block that runs; one for all modules (driver.cc). */
struct Scheduler {
  uint3 thread, block, blockSize, grid;
  unsigned lane, warp;
  unsigned char* dynamicShared;
  /** Wait until all threads of the block that are left are here. */
  void (*barrier)();
  /** Until all threads of the warp that are left are here; `value` of each thread is put where `slots` shows. */
  void (*meet)(const void* value, unsigned bytes);
  /** What the threads of the warp have put: 32 places of 64 bytes. They hold until the next meeting but one. */
  unsigned char* (*slots)();
  /** Which threads of the warp put something. */
  unsigned (*present)();
};
