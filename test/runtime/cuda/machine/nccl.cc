// libnccl.so.2 of the machine that the tests have instead of a GPU: the C interface as far as Birkhoff uses it.
//
// Ranks are processes of one machine. Values really go from one to another, by rings of bytes in shared memory, in the
// stream's turn. What NCCL promises not to do is not done here: sums begin at another rank for each part, a communicator
// that does not block answers "in progress" to its making and to its first operation, and is then asked too early only
// with an error. Where a rank's process is gone, the others get a remote error.
#include <atomic>
#include <errno.h>
#include <fcntl.h>
#include <functional>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))
extern "C" void fakeOrder(void* stream, void (*what)(void*), void* with);
extern "C" int fakeEnter(const char* name);
extern "C" int fakeIsCurrent(void* stream);
extern "C" int fakeKnows(unsigned long long at, size_t bytes);
extern "C" int fakeCurrent();
#define BEGIN if (int code = fakeEnter(__func__)) return code

namespace {
enum { success = 0, systemError = 2, invalidArgument = 4, invalidUsage = 5, remoteError = 6, inProgress = 7 };
enum { u8 = 1, i32 = 2, f32 = 7, f64 = 8, bf16 = 9 };
struct Id { char bytes[128]; };
struct Config { size_t size; unsigned magic, version; int blocking; };

const int most = 8;
const size_t ringBytes = 1 << 16;
struct Ring { std::atomic<uint64_t> written, read; char bytes[ringBytes]; };
struct Shared { std::atomic<int> joined, wrong; std::atomic<int> process[most]; Ring rings[most * most]; };

struct Communicator {
  int rank, size;
  Shared* shared = nullptr;
  bool blocking = true, used = false;
  std::atomic<int> state{inProgress}, running{0};
  std::atomic<bool> aborted{false};
  Ring& ring(int from, int to) { return shared->rings[from * most + to]; }
  bool isGone(int other) {
    const int process = shared->process[other];
    return process > 0 && kill(process, 0) != 0 && errno == ESRCH;
  }
};

size_t bytesOf(int type) { return type == u8 ? 1 : type == bf16 ? 2 : type == f64 ? 8 : type == i32 || type == f32 ? 4 : 0; }

struct Transfer { int peer; char* at; size_t bytes; bool sends; size_t done = 0; };
/** All at once; those of one way between two ranks one after another. False: it was aborted, or a rank is gone. */
bool move(Communicator* c, std::vector<Transfer> transfers) {
  unsigned idle = 0;
  for (;;) {
    bool open = false, moved = false;
    bool busy[2][most] = {};
    for (auto& t : transfers) {
      if (t.done == t.bytes || busy[t.sends][t.peer]) continue;
      busy[t.sends][t.peer] = open = true;
      Ring& r = t.sends ? c->ring(c->rank, t.peer) : c->ring(t.peer, c->rank);
      while (t.done < t.bytes) {
        const uint64_t written = r.written, read = r.read;
        const uint64_t at = t.sends ? written : read;
        size_t many = t.sends ? ringBytes - (written - read) : written - read;
        if (many > t.bytes - t.done) many = t.bytes - t.done;
        if (many > ringBytes - at % ringBytes) many = ringBytes - at % ringBytes;
        if (many == 0) break;
        if (t.sends) memcpy(r.bytes + at % ringBytes, t.at + t.done, many);
        else memcpy(t.at + t.done, r.bytes + at % ringBytes, many);
        (t.sends ? r.written : r.read) += many;
        t.done += many;
        moved = true;
      }
    }
    if (!open) return true;
    if (c->aborted || c->state == remoteError) return false;
    if (moved) continue;
    if (++idle % 256 == 0)
      for (auto& t : transfers)
        if (t.done < t.bytes && c->isGone(t.peer)) {
          c->state = remoteError;
          return false;
        }
    usleep(50);
  }
}

float fromBf16(uint16_t half) { uint32_t word = (uint32_t)half << 16; float value; memcpy(&value, &word, 4); return value; }
uint16_t toBf16(float value) { uint32_t word; memcpy(&word, &value, 4); return (uint16_t)((word + 0x7fff + (word >> 16 & 1)) >> 16); }
void add(char* into, const char* from, size_t count, int type) {
  for (size_t i = 0; i < count; i++)
    switch (type) {
      case f32: ((float*)into)[i] += ((const float*)from)[i]; break;
      case f64: ((double*)into)[i] += ((const double*)from)[i]; break;
      case i32: ((int32_t*)into)[i] += ((const int32_t*)from)[i]; break;
      case u8: ((uint8_t*)into)[i] += ((const uint8_t*)from)[i]; break;
      case bf16: ((uint16_t*)into)[i] = toBf16(fromBf16(((uint16_t*)into)[i]) + fromBf16(((const uint16_t*)from)[i])); break;
    }
}
/** Every rank's part is sent to its owner, who adds them, beginning with its neighbour's. */
bool reduceScatter(Communicator* c, const char* values, char* into, size_t count, int type) {
  const size_t part = count * bytesOf(type);
  std::vector<std::vector<char>> parts(c->size, std::vector<char>(part));
  memcpy(parts[c->rank].data(), values + c->rank * part, part);
  std::vector<Transfer> all;
  for (int q = 0; q < c->size; q++)
    if (q != c->rank) {
      all.push_back({q, (char*)values + q * part, part, true});
      all.push_back({q, parts[q].data(), part, false});
    }
  if (!move(c, all)) return false;
  std::vector<char> sum = parts[(c->rank + 1) % c->size];
  for (int k = 2; k <= c->size; k++) add(sum.data(), parts[(c->rank + k) % c->size].data(), count, type);
  memcpy(into, sum.data(), part);
  return true;
}
bool allGather(Communicator* c, const char* own, char* into, size_t bytes) {
  memmove(into + c->rank * bytes, own, bytes);
  std::vector<Transfer> all;
  for (int q = 0; q < c->size; q++)
    if (q != c->rank) {
      all.push_back({q, into + c->rank * bytes, bytes, true});
      all.push_back({q, into + q * bytes, bytes, false});
    }
  return move(c, all);
}

// ---------------------------------------------------------------- groups and the stream's turn
thread_local int depth = 0;
struct Held { Communicator* c; void* stream; std::vector<Transfer> transfers; };
thread_local std::vector<Held> held;
struct Order { Communicator* c; std::function<bool()> act; };
int enqueue(Communicator* c, void* stream, std::function<bool()> act) {
  auto* order = new Order{c, act};
  c->running++;
  auto give = [=] {
    fakeOrder(stream, [](void* given) {
      auto* order = (Order*)given;
      if (order->c->state != remoteError && !order->c->aborted) order->act();
      order->c->running--;
      delete order;
    }, order);
  };
  // Ranks meet at the first operation; who does not want to be blocked asks for the end of that.
  if (c->used || c->blocking) return c->used = true, give(), success;
  c->used = true;
  c->state = inProgress;
  std::thread([=] { usleep(3000); give(); int was = inProgress; c->state.compare_exchange_strong(was, success); }).detach();
  return inProgress;
}
int expect(Communicator* c, const void* a, size_t aBytes, const void* b, size_t bBytes, int type, void* stream) {
  if (!c || bytesOf(type) == 0 || !stream || !fakeIsCurrent(stream)) return invalidArgument;
  if (c->state == inProgress) return invalidArgument;
  if (c->state != success) return c->state;
  if (aBytes && !fakeKnows((unsigned long long)a, aBytes)) return invalidArgument;
  if (bBytes && !fakeKnows((unsigned long long)b, bBytes)) return invalidArgument;
  return success;
}
#define EXPECT(...) if (int code = expect(__VA_ARGS__)) return code
}  // namespace

EXPORT int ncclGetVersion(int* version) { BEGIN; *version = 23007; return success; }
EXPORT const char* ncclGetErrorString(int code) {
  const char* names[] = {"no error", "unhandled cuda error", "unhandled system error", "internal error", "invalid argument", "invalid usage", "remote process exited or there was a network error", "in progress"};
  return code >= 0 && code <= 7 ? names[code] : "unknown result code";
}
EXPORT const char* ncclGetLastError(Communicator*) { return "an error of the machine that plays a GPU"; }
EXPORT int ncclGetUniqueId(Id* id) {
  BEGIN;
  memset(id, 0, sizeof *id);
  unsigned long long random = 0;
  if (getentropy(&random, sizeof random)) return systemError;
  snprintf(id->bytes, sizeof id->bytes, "/birkhoff-fake-nccl-%016llx", random);
  id->bytes[127] = 42;
  return success;
}
static int make(Communicator** made, int size, Id id, int rank, bool blocking) {
  if (size < 1 || size > most || rank < 0 || rank >= size || id.bytes[127] != 42) return invalidArgument;
  if (!fakeCurrent()) return 1;
  auto* c = *made = new Communicator;
  c->rank = rank;
  c->size = size;
  c->blocking = blocking;
  const std::string name = id.bytes;
  auto meet = [=] {
    const int file = shm_open(name.c_str(), O_CREAT | O_RDWR, 0600);
    if (file < 0 || ftruncate(file, sizeof(Shared))) return void(c->state = systemError);
    c->shared = (Shared*)mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    c->shared->process[rank] = getpid();
    c->shared->joined++;
    while (c->shared->joined < size) {
      if (c->aborted) return;
      for (int q = 0; q < size; q++)
        if (c->isGone(q)) { shm_unlink(name.c_str()); return void(c->state = remoteError); }
      usleep(200);
    }
    if (rank == 0) shm_unlink(name.c_str());
    c->state = success;
  };
  if (blocking) return meet(), c->state.load();
  c->running++;
  std::thread([=] { meet(); c->running--; }).detach();
  return inProgress;
}
EXPORT int ncclCommInitRank(Communicator** made, int size, Id id, int rank) { BEGIN; return make(made, size, id, rank, true); }
EXPORT int ncclCommInitRankConfig(Communicator** made, int size, Id id, int rank, Config* config) {
  BEGIN;
  if (config->magic != 0xcafebeef || config->size < sizeof(Config) || config->version < 21400) return invalidArgument;
  return make(made, size, id, rank, config->blocking != 0);
}
EXPORT int ncclCommGetAsyncError(Communicator* c, int* state) { BEGIN; *state = c->state; return success; }
EXPORT int ncclCommAbort(Communicator* c) {
  BEGIN;
  c->aborted = true;
  while (c->running > 0) usleep(200);
  if (c->shared) munmap(c->shared, sizeof(Shared));
  delete c;
  return success;
}
EXPORT int ncclCommFinalize(Communicator* c) { BEGIN; return success; }
EXPORT int ncclCommDestroy(Communicator* c) { BEGIN; while (c->running > 0) usleep(200); munmap(c->shared, sizeof(Shared)); delete c; return success; }
EXPORT int ncclGroupStart() { BEGIN; depth++; return success; }
EXPORT int ncclGroupEnd() {
  BEGIN;
  if (depth == 0) return invalidUsage;
  if (--depth > 0) return success;
  auto all = std::move(held);
  held.clear();
  int code = success;
  for (auto& each : all) {
    auto* c = each.c;
    auto transfers = each.transfers;
    if (int found = enqueue(c, each.stream, [=] { return move(c, transfers); })) code = found;
  }
  return code;
}
static int transfer(Communicator* c, void* stream, Transfer t) {
  if (t.peer < 0 || t.peer >= c->size || t.peer == c->rank) return invalidArgument;
  if (depth == 0) return enqueue(c, stream, [=] { return move(c, {t}); });
  for (auto& each : held)
    if (each.c == c && each.stream == stream) return each.transfers.push_back(t), success;
  held.push_back({c, stream, {t}});
  return success;
}
EXPORT int ncclSend(const void* from, size_t count, int type, int peer, Communicator* c, void* stream) {
  BEGIN;
  EXPECT(c, from, count * bytesOf(type), nullptr, 0, type, stream);
  return transfer(c, stream, {peer, (char*)from, count * bytesOf(type), true});
}
EXPORT int ncclRecv(void* into, size_t count, int type, int peer, Communicator* c, void* stream) {
  BEGIN;
  EXPECT(c, into, count * bytesOf(type), nullptr, 0, type, stream);
  return transfer(c, stream, {peer, (char*)into, count * bytesOf(type), false});
}
EXPORT int ncclReduceScatter(const void* values, void* into, size_t count, int type, int operation, Communicator* c, void* stream) {
  BEGIN;
  EXPECT(c, values, c->size * count * bytesOf(type), into, count * bytesOf(type), type, stream);
  if (operation != 0) return invalidArgument;
  return enqueue(c, stream, [=] { return reduceScatter(c, (const char*)values, (char*)into, count, type); });
}
EXPORT int ncclAllGather(const void* own, void* into, size_t count, int type, Communicator* c, void* stream) {
  BEGIN;
  EXPECT(c, own, count * bytesOf(type), into, c->size * count * bytesOf(type), type, stream);
  return enqueue(c, stream, [=] { return allGather(c, (const char*)own, (char*)into, count * bytesOf(type)); });
}
EXPORT int ncclAllReduce(const void* values, void* into, size_t count, int type, int operation, Communicator* c, void* stream) {
  BEGIN;
  const size_t bytes = count * bytesOf(type);
  EXPECT(c, values, bytes, into, bytes, type, stream);
  if (operation != 0) return invalidArgument;
  return enqueue(c, stream, [=] {
    const size_t part = (count + c->size - 1) / c->size, partBytes = part * bytesOf(type);
    std::vector<char> padded(c->size * partBytes), own(partBytes);
    memcpy(padded.data(), values, bytes);
    if (!reduceScatter(c, padded.data(), own.data(), part, type) || !allGather(c, own.data(), padded.data(), partBytes)) return false;
    memcpy(into, padded.data(), bytes);
    return true;
  });
}
EXPORT int ncclBroadcast(const void* from, void* into, size_t count, int type, int root, Communicator* c, void* stream) {
  BEGIN;
  const size_t bytes = count * bytesOf(type);
  EXPECT(c, from, bytes, into, bytes, type, stream);
  if (root < 0 || root >= c->size) return invalidArgument;
  return enqueue(c, stream, [=] {
    if (c->rank != root) return move(c, {{root, (char*)into, bytes, false}});
    std::vector<Transfer> all;
    for (int q = 0; q < c->size; q++)
      if (q != root) all.push_back({q, (char*)from, bytes, true});
    if (!move(c, all)) return false;
    memmove(into, from, bytes);
    return true;
  });
}
