// libcuda.so.1 of the machine that the tests have instead of a GPU: the C interface as far as Birkhoff uses it.
//
// A stream is a thread that does its orders in turn, so that nothing is there before it has been waited for, and what one
// stream makes is there for another only where it waits for a mark. Memory is
// the processor's, with a page behind each piece that nobody may touch, and begins as NaN. A kernel that touches what
// is not its own, or whose threads wait for ever, poisons the context as on a GPU.
#include "block.h"
#include <condition_variable>
#include <deque>
#include <dlfcn.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <thread>
#include <unistd.h>

#define EXPORT extern "C" __attribute__((visibility("default")))
typedef unsigned long long address;

enum Code { ok = 0, invalidValue = 1, outOfMemory = 2, notInitialized = 3, invalidImage = 200, invalidContext = 201, noBinary = 209,
  invalidHandle = 400, notFound = 500, notReady = 600, illegalAddress = 700, launchFailed = 719, captureInvalid = 901 };

namespace {
struct Fault { int code, after; };
std::recursive_mutex& control = *new std::recursive_mutex;
std::map<std::string, Fault> faults;
std::map<std::string, int> counts;
int sticky = 0;
address limitBytes = 1ull << 30, usedBytes = 0;
int driverVersion = 13000, capability = 90, users = 0, devices = 1;
/** What contexts are: one for each GPU. The thread's current one counts from 1. */
char contexts[8];
thread_local int current = 0;

bool poisons(int code) { return code == 700 || code == 702 || (code >= 713 && code <= 719) || code == 214 || code == 721; }

/** What a call returns before it does anything; ok: it may go on. */
int enter(const char* name) {
  std::lock_guard<std::recursive_mutex> lock(control);
  counts[name]++;
  if (sticky) return sticky;
  auto found = faults.find(name);
  if (found == faults.end()) return ok;
  if (found->second.after-- > 0) return ok;
  const int code = found->second.code;
  faults.erase(found);
  if (poisons(code)) sticky = code;
  return code;
}

// ---------------------------------------------------------------- orders
// Never destroyed: the threads wait for them while the process ends.
std::mutex& queueMutex = *new std::mutex;
std::condition_variable& settled = *new std::condition_variable;
/** One block runs at a time. */
std::mutex& kernelMutex = *new std::mutex;
thread_local bool isWorker = false;
thread_local sigjmp_buf escape;
thread_local volatile sig_atomic_t inKernel = 0;
struct sigaction before;
bool handles = false;

struct Line {
  std::condition_variable wake;
  std::deque<std::function<void()>> queue;
  unsigned long long given = 0, finished = 0;
  bool begun = false, ended = false;
  int context = current;
};
typedef std::shared_ptr<Line> LineOf;
std::set<LineOf>& lines = *new std::set<LineOf>;

void onFault(int signal, siginfo_t* info, void* context) {
  if (isWorker && inKernel) siglongjmp(escape, 1);
  if (before.sa_flags & SA_SIGINFO && before.sa_sigaction) return before.sa_sigaction(signal, info, context);
  ::signal(signal, SIG_DFL);
  raise(signal);
}
void work(LineOf line) {
  isWorker = true;
  stack_t alternative = {};
  alternative.ss_sp = malloc(64 << 10);
  alternative.ss_size = 64 << 10;
  sigaltstack(&alternative, nullptr);
  std::unique_lock<std::mutex> lock(queueMutex);
  for (;;) {
    line->wake.wait(lock, [&] { return !line->queue.empty() || line->ended; });
    if (line->queue.empty()) break;
    auto order = std::move(line->queue.front());
    line->queue.pop_front();
    lock.unlock();
    int poisoned;
    {
      std::lock_guard<std::recursive_mutex> guard(control);
      poisoned = sticky;
    }
    if (!poisoned) order();
    lock.lock();
    line->finished++;
    settled.notify_all();
  }
  lock.unlock();
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
  free(alternative.ss_sp);
}
unsigned long long enqueue(const LineOf& line, std::function<void()> order) {
  std::lock_guard<std::mutex> lock(queueMutex);
  if (!handles) {
    handles = true;
    struct sigaction action = {};
    action.sa_sigaction = onFault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &before);
  }
  if (!line->begun) {
    line->begun = true;
    lines.insert(line);
    std::thread(work, line).detach();
  }
  line->queue.push_back(std::move(order));
  line->wake.notify_one();
  return ++line->given;
}
void waitFor(const LineOf& line, unsigned long long order) {
  if (!line) return;
  std::unique_lock<std::mutex> lock(queueMutex);
  settled.wait(lock, [&] { return line->finished >= order; });
}
void waitForAll(const LineOf& line) { waitFor(line, line->given); }
/** All of the thread's current GPU, or of all where none is current. */
void waitForAll() {
  std::set<LineOf> all;
  {
    std::lock_guard<std::mutex> lock(queueMutex);
    all = lines;
  }
  for (auto& line : all)
    if (!current || line->context == current) waitForAll(line);
}

struct Graph { std::vector<std::function<void()>> orders; };
struct Stream { Graph* capture = nullptr; int context = current; LineOf line = std::make_shared<Line>(); };
struct Event { LineOf line; unsigned long long order = 0; double time = 0; };
void order(Stream* stream, std::function<void()> what) {
  if (stream->capture) stream->capture->orders.push_back(std::move(what));
  else enqueue(stream->line, std::move(what));
}
double clockNow() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e3 * t.tv_sec + 1e-6 * t.tv_nsec;
}

// ---------------------------------------------------------------- memory
struct Piece { void* mapped; size_t mappedBytes, bytes; int context; };
std::map<address, Piece> pieces;
std::map<void*, size_t> pinned;
bool isPinned(const void* p) {
  auto found = pinned.upper_bound((void*)p);
  if (found == pinned.begin()) return false;
  --found;
  return (const char*)p < (const char*)found->first + found->second;
}
bool known(address at, size_t bytes) {
  std::lock_guard<std::recursive_mutex> lock(control);
  auto found = pieces.upper_bound(at);
  if (found == pieces.begin()) return false;
  --found;
  return found->second.context == current && at + bytes <= found->first + found->second.bytes;
}

// ---------------------------------------------------------------- kernels
struct Module { int context; void* library; void (*forget)(); std::map<std::string, struct Function*> functions; };
struct Function { Module* module; void (*entry)(void**); unsigned parameters; unsigned sharedBytes = 48 << 10; };

void launch(Function* function, uint3 grid, uint3 size, unsigned sharedBytes, std::vector<unsigned long long> values) {
  std::lock_guard<std::mutex> one(kernelMutex);
  std::vector<void*> places;
  for (auto& value : values) places.push_back(&value);
  block::Block& now = block::now;
  static std::vector<unsigned char> shared;
  shared.assign(sharedBytes + 32, 0xff);
  block::scheduler.dynamicShared = (unsigned char*)(((address)shared.data() + 15) / 16 * 16);
  block::scheduler.blockSize = size;
  block::scheduler.grid = grid;
  now.entry = function->entry;
  now.values = places.data();
  now.width = size.x * size.y * size.z;
  function->module->forget();
  int failed = 0;
  if (sigsetjmp(escape, 1)) failed = illegalAddress;
  else {
    inKernel = 1;
    for (unsigned z = 0; z < grid.z && !failed; z++)
      for (unsigned y = 0; y < grid.y && !failed; y++)
        for (unsigned x = 0; x < grid.x && !failed; x++) {
          block::scheduler.block = {x, y, z};
          if (!block::run()) failed = launchFailed;
        }
  }
  inKernel = 0;
  if (!failed) return;
  block::forgetFibres();
  std::lock_guard<std::recursive_mutex> lock(control);
  sticky = failed;
}
}  // namespace

// ---------------------------------------------------------------- what the tests say
EXPORT void fakeFail(const char* name, int code, int after) {
  std::lock_guard<std::recursive_mutex> lock(control);
  faults[name] = {code, after};
}
EXPORT void fakeMemory(address bytes) { limitBytes = bytes; }
EXPORT void fakeDriver(int version, int computeCapability) { driverVersion = version; capability = computeCapability; }
/** The context is as new; what was there is lost. */
EXPORT void fakeReset() {
  waitForAll();
  std::lock_guard<std::recursive_mutex> lock(control);
  faults.clear();
  sticky = 0;
  limitBytes = 1ull << 30;
  driverVersion = 13000;
  capability = 90;
  devices = 1;
}
EXPORT void fakeDevices(int count) { devices = count; }
EXPORT int fakeCount(const char* name) {
  std::lock_guard<std::recursive_mutex> lock(control);
  return counts[name];
}
EXPORT address fakeUsed() { return usedBytes; }
/** For the other libraries of this machine. */
EXPORT void fakeOrder(void* stream, void (*what)(void*), void* with) { order((Stream*)stream, [=] { what(with); }); }
EXPORT int fakeEnter(const char* name) { return enter(name); }
/** Whether so many bytes are all memory of a GPU. */
EXPORT int fakeKnows(address at, size_t bytes) {
  std::lock_guard<std::recursive_mutex> lock(control);
  auto found = pieces.upper_bound(at);
  if (found == pieces.begin()) return 0;
  --found;
  return at + bytes <= found->first + found->second.bytes;
}
EXPORT int fakeCurrent() { return current; }
EXPORT int fakeIsCurrent(void* stream) { return ((Stream*)stream)->context == current; }

#define BEGIN if (int code = enter(__func__)) return code
/** What is used must be of the thread's current context. */
#define OF(thing) if ((thing)->context != current) return invalidContext
// ---------------------------------------------------------------- the interface
EXPORT int cuInit(unsigned) { 
  if (const char* given = getenv("BIRKHOFF_FAKE_CUDA_FAIL")) {  // name:code:after
    std::string text = given;
    const size_t a = text.find(':'), b = text.find(':', a + 1);
    if (a != std::string::npos) fakeFail(text.substr(0, a).c_str(), atoi(text.c_str() + a + 1), b == std::string::npos ? 0 : atoi(text.c_str() + b + 1));
    unsetenv("BIRKHOFF_FAKE_CUDA_FAIL");
  }
  if (const char* count = getenv("BIRKHOFF_FAKE_CUDA_DEVICES")) devices = atoi(count);
  if (const char* bytes = getenv("BIRKHOFF_FAKE_CUDA_MEMORY")) limitBytes = strtoull(bytes, nullptr, 10);
  BEGIN;
  return ok;
}
EXPORT int cuDriverGetVersion(int* version) { BEGIN; *version = driverVersion; return ok; }
EXPORT int cuDeviceGetCount(int* count) { BEGIN; *count = devices; return ok; }
EXPORT int cuDeviceGet(int* device, int ordinal) { BEGIN; if (ordinal < 0 || ordinal >= devices) return 101; *device = ordinal; return ok; }
EXPORT int cuDeviceGetName(char* name, int length, int) { BEGIN; snprintf(name, length, "Processor in the place of a GPU"); return ok; }
/** Shared memory of a group, on request, in bytes. */
static int mostShared() { return (capability == 80 ? 163 : capability == 86 || capability == 89 ? 99 : 227) << 10; }
EXPORT int cuDeviceGetAttribute(int* value, int attribute, int) {
  BEGIN;
  switch (attribute) {
    case 75: *value = capability / 10; return ok;
    case 76: *value = capability % 10; return ok;
    case 16: *value = 4; return ok;               // multiprocessors
    case 97: *value = mostShared(); return ok;
    default: return invalidValue;
  }
}
EXPORT int cuDeviceGetPCIBusId(char* name, int length, int device) {
  BEGIN;
  snprintf(name, length, "0000:%02x:00.0", device + 1);
  return ok;
}
EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int) { BEGIN; *bytes = limitBytes; return ok; }
EXPORT int cuDevicePrimaryCtxRetain(void** context, int device) { BEGIN; *context = contexts + device; users++; return ok; }
/** With the last user goes all that the context had, also its error. */
EXPORT int cuDevicePrimaryCtxRelease_v2(int) {
  waitForAll();
  std::lock_guard<std::recursive_mutex> lock(control);
  const int code = enter("cuDevicePrimaryCtxRelease_v2");
  if (users > 0 && --users == 0) {
    for (auto& piece : pieces) munmap(piece.second.mapped, piece.second.mappedBytes);
    pieces.clear();
    usedBytes = 0;
    sticky = 0;
  }
  return code;
}
EXPORT int cuCtxSetCurrent(void* context) { BEGIN; current = (int)((char*)context - contexts) + 1; return ok; }
EXPORT int cuMemGetInfo_v2(size_t* freeBytes, size_t* total) {
  BEGIN;
  *freeBytes = limitBytes > usedBytes ? limitBytes - usedBytes : 0;
  *total = limitBytes;
  return ok;
}
EXPORT int cuMemAlloc_v2(address* at, size_t bytes) {
  BEGIN;
  if (!current) return invalidContext;
  if (bytes == 0) return invalidValue;
  const size_t page = 4096, needed = (bytes + 255) / 256 * 256;
  if (usedBytes + needed > limitBytes) return outOfMemory;
  const size_t mapped = (needed + page - 1) / page * page;
  char* start = (char*)mmap(nullptr, mapped + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return outOfMemory;
  mprotect(start + mapped, page, PROT_NONE);
  char* first = start + (mapped - needed);
  if (bytes < (64u << 20)) memset(first, 0xff, needed);
  std::lock_guard<std::recursive_mutex> lock(control);
  *at = (address)first;
  pieces[*at] = {start, mapped + page, needed, current};
  usedBytes += needed;
  return ok;
}
EXPORT int cuMemFree_v2(address at) {
  BEGIN;
  waitForAll();
  std::lock_guard<std::recursive_mutex> lock(control);
  auto found = pieces.find(at);
  if (found == pieces.end()) return invalidValue;
  munmap(found->second.mapped, found->second.mappedBytes);
  usedBytes -= found->second.bytes;
  pieces.erase(found);
  return ok;
}
EXPORT int cuMemHostAlloc(void** at, size_t bytes, unsigned) {
  BEGIN;
  if (bytes == 0) return invalidValue;
  *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::lock_guard<std::recursive_mutex> lock(control);
  pinned[*at] = bytes;
  return ok;
}
EXPORT int cuMemFreeHost(void* at) {
  BEGIN;
  waitForAll();
  std::lock_guard<std::recursive_mutex> lock(control);
  auto found = pinned.find(at);
  if (found == pinned.end()) return invalidValue;
  munmap(at, found->second);
  pinned.erase(found);
  return ok;
}
EXPORT int cuMemcpyHtoDAsync_v2(address to, const void* from, size_t bytes, Stream* stream) {
  BEGIN; OF(stream);
  if (!known(to, bytes)) return invalidValue;
  // From memory that is not pinned, CUDA takes a copy before it returns.
  std::string copy((const char*)from, bytes);
  order(stream, [to, copy] { memcpy((void*)to, copy.data(), copy.size()); });
  return ok;
}
EXPORT int cuMemcpyDtoHAsync_v2(void* to, address from, size_t bytes, Stream* stream) {
  BEGIN; OF(stream);
  if (!known(from, bytes)) return invalidValue;
  if (!isPinned(to)) return invalidValue;  // It would wait, so nobody here asks for it.
  order(stream, [=] { memcpy(to, (void*)from, bytes); });
  return ok;
}
EXPORT int cuMemcpyDtoDAsync_v2(address to, address from, size_t bytes, Stream* stream) {
  BEGIN; OF(stream);
  if (!known(from, bytes) || !known(to, bytes)) return invalidValue;
  order(stream, [=] { memcpy((void*)to, (void*)from, bytes); });
  return ok;
}
EXPORT int cuMemsetD8Async(address to, unsigned char value, size_t bytes, Stream* stream) {
  BEGIN; OF(stream);
  if (!known(to, bytes)) return invalidValue;
  order(stream, [=] { memset((void*)to, value, bytes); });
  return ok;
}
EXPORT int cuModuleLoadData(Module** module, const char* image) {
  BEGIN;
  if (memcmp(image, "FAKEBIN\n", 8) != 0) return invalidImage;
  unsigned long long bytes;
  memcpy(&bytes, image + 8, 8);
  const int file = memfd_create("kernels", 0);
  if (file < 0 || write(file, image + 16, bytes) != (ssize_t)bytes) return invalidImage;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) fprintf(stderr, "fake CUDA: %s\n", dlerror());
  // The descriptor stays open: a later one of the same number would be taken for the same library.
  if (!library) return invalidImage;
  *(Scheduler**)dlsym(library, "birkhoffScheduler") = &block::scheduler;
  block::scheduler.barrier = block::barrier;
  block::scheduler.meet = block::meet;
  block::scheduler.slots = block::slots;
  block::scheduler.present = block::present;
  *module = new Module{current, library, (void (*)())dlsym(library, "birkhoffForget"), {}};
  return ok;
}
EXPORT int cuModuleUnload(Module*) { BEGIN; return ok; }
EXPORT int cuModuleGetFunction(Function** function, Module* module, const char* name) {
  BEGIN;
  void* entry = dlsym(module->library, (std::string("entry_") + name).c_str());
  void* parameters = dlsym(module->library, (std::string("parameters_") + name).c_str());
  if (!entry || !parameters) return notFound;
  *function = new Function{module, (void (*)(void**))entry, *(const unsigned*)parameters};
  return ok;
}
EXPORT int cuFuncSetAttribute(Function* function, int attribute, int value) {
  BEGIN;
  if (attribute != 8 || value > mostShared()) return invalidValue;
  function->sharedBytes = value;
  return ok;
}
EXPORT int cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned sharedBytes, Stream* stream, void** parameters, void** extra) {
  BEGIN; OF(stream); OF(function->module);
  if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > block::mostThreads || gy > 65535 || gz > 65535 || gx > 0x7fffffffu || extra) return invalidValue;
  if (sharedBytes > function->sharedBytes) return invalidValue;
  std::vector<unsigned long long> values;
  for (unsigned k = 0; k < function->parameters; k++) values.push_back(*(unsigned long long*)parameters[k]);
  order(stream, [=] { launch(function, {gx, gy, gz}, {bx, by, bz}, sharedBytes, values); });
  return ok;
}
EXPORT int cuStreamCreate(Stream** stream, unsigned) { BEGIN; *stream = new Stream; return ok; }
EXPORT int cuStreamDestroy_v2(Stream* stream) {
  BEGIN;
  waitForAll(stream->line);
  {
    std::lock_guard<std::mutex> lock(queueMutex);
    stream->line->ended = true;
    stream->line->wake.notify_one();
    lines.erase(stream->line);
  }
  delete stream;
  return ok;
}
EXPORT int cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
  BEGIN; OF(stream);
  if (stream->capture) return captureInvalid;
  const LineOf line = event->line;
  const unsigned long long mark = event->order;
  if (line) enqueue(stream->line, [=] { waitFor(line, mark); });
  return ok;
}
EXPORT int cuStreamSynchronize(Stream* stream) {
  BEGIN; OF(stream);
  if (stream->capture) return captureInvalid;
  waitForAll(stream->line);
  return sticky;
}
EXPORT int cuStreamBeginCapture_v2(Stream* stream, int) {
  BEGIN; OF(stream);
  if (stream->capture) return captureInvalid;
  stream->capture = new Graph;
  return ok;
}
EXPORT int cuStreamEndCapture(Stream* stream, Graph** graph) {
  BEGIN;
  if (!stream->capture) return captureInvalid;
  *graph = stream->capture;
  stream->capture = nullptr;
  return ok;
}
EXPORT int cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long) { BEGIN; *executable = new Graph(*graph); return ok; }
EXPORT int cuGraphLaunch(Graph* executable, Stream* stream) {
  BEGIN; OF(stream);
  for (auto& each : executable->orders) order(stream, each);
  return ok;
}
EXPORT int cuGraphDestroy(Graph* graph) { BEGIN; delete graph; return ok; }
EXPORT int cuGraphExecDestroy(Graph* executable) { BEGIN; waitForAll(); delete executable; return ok; }
EXPORT int cuEventCreate(Event** event, unsigned) { BEGIN; *event = new Event; return ok; }
EXPORT int cuEventDestroy_v2(Event* event) { BEGIN; waitFor(event->line, event->order); delete event; return ok; }
EXPORT int cuEventRecord(Event* event, Stream* stream) {
  BEGIN; OF(stream);
  if (stream->capture) return captureInvalid;
  event->line = stream->line;
  event->order = enqueue(stream->line, [event] { event->time = clockNow(); });
  return ok;
}
EXPORT int cuEventQuery(Event* event) {
  BEGIN;
  std::lock_guard<std::mutex> lock(queueMutex);
  return !event->line || event->line->finished >= event->order ? sticky : notReady;
}
EXPORT int cuEventSynchronize(Event* event) { BEGIN; waitFor(event->line, event->order); return sticky; }
EXPORT int cuEventElapsedTime(float* milliseconds, Event* a, Event* b) { BEGIN; *milliseconds = (float)(b->time - a->time); return ok; }
EXPORT int cuGetErrorName(int code, const char** text) {
  static thread_local char name[32];
  snprintf(name, sizeof name, "CUDA_ERROR_%d", code);
  *text = name;
  return ok;
}
EXPORT int cuGetErrorString(int code, const char** text) { *text = code == 2 ? "out of memory" : "an error of the fake driver"; return ok; }
