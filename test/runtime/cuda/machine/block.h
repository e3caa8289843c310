// Runs the threads of a block, each to its end or to where it waits; what a kernel sees of it is device.h's Scheduler.
#pragma once
#include "fibres.h"
#include "scheduler.h"
#include <string.h>
#include <utility>
#include <vector>

namespace block {
constexpr unsigned mostThreads = 1024;
enum State : unsigned char { coming, running, atBarrier, meeting, done };
struct Warp {
  unsigned alive, arrived, generation;
  // Of the meeting that is over and of the one that is coming, in turn.
  unsigned present[2];
  alignas(64) unsigned char places[2][32][64];
};
struct Block {
  void (*entry)(void**);
  void** values;
  unsigned width, next, alive, arrived;
  State states[mostThreads];
  Warp warps[mostThreads / 32];
  /** The fibre of each thread that has begun. */
  int fibres[mostThreads];
};
inline Block now;
inline Scheduler scheduler;
inline std::vector<Fibre*> fibres;
inline std::vector<int> idle;
inline std::vector<unsigned> ready;
inline Fibre home;
inline int current = -1;

inline void become(unsigned lane) {
  scheduler.lane = lane % 32;
  scheduler.warp = lane / 32;
  const unsigned x = scheduler.blockSize.x, y = scheduler.blockSize.y;
  scheduler.thread = {lane % x, lane / x % y, lane / (x * y)};
}
inline unsigned lane() { return 32 * scheduler.warp + scheduler.lane; }
inline void release(State state, unsigned first, unsigned last) {
  for (unsigned l = first; l < last; l++)
    if (now.states[l] == state) {
      now.states[l] = running;
      ready.push_back(l);
    }
}
inline void openBarrier() {
  if (now.alive == 0 || now.arrived < now.alive) return;
  now.arrived = 0;
  release(atBarrier, 0, now.width);
}
inline void openWarp(unsigned w) {
  Warp& warp = now.warps[w];
  if (warp.alive == 0 || warp.arrived < warp.alive) return;
  warp.arrived = 0;
  warp.generation++;
  release(meeting, 32 * w, 32 * w + 32 < now.width ? 32 * w + 32 : now.width);
}
/** Give the processor back until somebody makes this thread ready. */
inline void wait(State state) {
  const unsigned own = lane();
  now.states[own] = state;
  const int fibre = current;
  if (state == atBarrier) openBarrier();
  else openWarp(own / 32);
  Fibre::change(*fibres[fibre], home);
  become(own);
}
inline void barrier() { now.arrived++; wait(atBarrier); }
inline void meet(const void* value, unsigned bytes) {
  Warp& warp = now.warps[scheduler.warp];
  const unsigned turn = (warp.generation + 1) % 2;
  if (warp.arrived++ == 0) warp.present[turn] = 0;
  warp.present[turn] |= 1u << scheduler.lane;
  if (bytes) memcpy(warp.places[turn][scheduler.lane], value, bytes);
  wait(meeting);
}
inline unsigned char* slots() {
  Warp& warp = now.warps[scheduler.warp];
  return warp.places[warp.generation % 2][0];
}
inline unsigned present() {
  const Warp& warp = now.warps[scheduler.warp];
  return warp.present[warp.generation % 2];
}
/** A fibre runs one thread after another; one that waits has it for itself. */
inline void fibreMain() {
  for (;;) {
    while (now.next < now.width) {
      const unsigned own = now.next++;
      become(own);
      now.states[own] = running;
      now.fibres[own] = current;
      now.entry(now.values);
      const unsigned ended = lane();
      now.states[ended] = done;
      now.alive--;
      now.warps[ended / 32].alive--;
      openBarrier();
      openWarp(ended / 32);
    }
    idle.push_back(current);
    Fibre::change(*fibres[current], home);
  }
}
inline void enter(int fibre) {
  current = fibre;
  Fibre::change(home, *fibres[fibre]);
}
/** False when threads are left that wait for ever. */
inline bool run() {
  now.next = now.arrived = 0;
  now.alive = now.width;
  ready.clear();
  for (unsigned w = 0; 32 * w < now.width; w++) {
    const unsigned rest = now.width - 32 * w;
    now.warps[w].alive = rest < 32 ? rest : 32;
    now.warps[w].arrived = now.warps[w].generation = 0;
  }
  for (unsigned l = 0; l < now.width; l++) now.states[l] = coming;
  while (now.alive > 0) {
    if (now.next < now.width) {
      if (idle.empty()) {
        fibres.push_back(new Fibre);
        fibres.back()->begin(fibreMain);
        idle.push_back((int)fibres.size() - 1);
      }
      const int fibre = idle.back();
      idle.pop_back();
      enter(fibre);
    } else if (!ready.empty()) {
      const std::vector<unsigned> turn(std::move(ready));
      ready = {};
      for (unsigned l : turn) {
        become(l);
        enter(now.fibres[l]);
      }
    } else {
      return false;
    }
  }
  return true;
}
/** After a thread has stopped for ever its fibre is lost. */
inline void forgetFibres() {
  fibres.clear();
  idle.clear();
}
}  // namespace block
