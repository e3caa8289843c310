// libnvrtc of the machine that the tests have instead of a GPU: CUDA C++ becomes a library of the processor by g++.
//
// What has been compiled once is kept in a folder by the hash of its text. The image is "FAKEBIN\n", the size, the library.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT extern "C" __attribute__((visibility("default")))
#ifndef HEADERS
#error "HEADERS: the folder of device.h"
#endif
extern "C" int fakeEnter(const char* name);
#define BEGIN if (int code = fakeEnter(__func__)) return code

namespace {
struct Program { std::string source, name, log, image; };

std::string contents(const std::string& path) {
  std::string text;
  if (FILE* file = fopen(path.c_str(), "rb")) {
    char part[65536];
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) text.append(part, n);
    fclose(file);
  }
  return text;
}
bool keep(const std::string& path, const std::string& text) {
  FILE* file = fopen(path.c_str(), "wb");
  if (!file) return false;
  const bool whole = fwrite(text.data(), 1, text.size(), file) == text.size();
  return fclose(file) == 0 && whole;
}
unsigned long long hash(const std::string& text) {
  unsigned long long h = 1469598103934665603ull;
  for (unsigned char c : text) h = (h ^ c) * 1099511628211ull;
  return h;
}
/** The entries: the names between "__global__ void" with its bounds and the parameters. */
std::string entriesOf(const std::string& source) {
  std::string found;
  const std::string mark = "__global__ void";
  for (size_t at = source.find(mark); at != std::string::npos; at = source.find(mark, at)) {
    at += mark.size();
    const auto space = [&] { while (at < source.size() && isspace((unsigned char)source[at])) at++; };
    space();
    if (source.compare(at, 17, "__launch_bounds__") == 0) {
      at = source.find(')', at) + 1;
      space();
    }
    const size_t end = source.find('(', at);
    if (end == std::string::npos) break;
    found += "BIRKHOFF_ENTRY(" + source.substr(at, end - at) + ")\n";
  }
  return found;
}
int run(const std::string& command) {
  const int status = system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
}  // namespace

EXPORT int nvrtcVersion(int* major, int* minor) { BEGIN; *major = 13; *minor = 0; return 0; }
EXPORT int nvrtcCreateProgram(Program** program, const char* source, const char* name, int, const char**, const char**) {
  BEGIN;
  *program = new Program{source, name ? name : "", "", ""};
  return 0;
}
EXPORT int nvrtcCompileProgram(Program* program, int, const char**) {
  BEGIN;
  static const std::string headers = contents(HEADERS "/device.h") + contents(HEADERS "/scheduler.h");
  const char* given = getenv("BIRKHOFF_FAKE_CUDA_CACHE");
  const std::string folder = given ? given : "/tmp/birkhoff-fake-cuda";
  mkdir(folder.c_str(), 0777);
  const std::string flags = "-std=c++17 -O1 -w -fPIC -shared -fvisibility=hidden -ffp-contract=off -Wl,-Bsymbolic";
  char key[40];
  snprintf(key, sizeof key, "%016llx%016llx", hash(headers + flags + program->source), hash(program->source + headers));
  const std::string path = folder + "/" + key + ".so";
  std::string library = contents(path);
  if (library.empty()) {
    char own[64];
    snprintf(own, sizeof own, "-%d-%llx", (int)getpid(), (unsigned long long)(size_t)program);
    const std::string base = folder + "/" + key + own;
    keep(base + ".cc", "#include \"device.h\"\n#line 1 \"kernels\"\n" + program->source + "\n" + entriesOf(program->source));
    const int failed = run("g++ " + flags + " -I'" HEADERS "' -o '" + base + ".so' '" + base + ".cc' 2>'" + base + ".log'");
    program->log = contents(base + ".log");
    unlink((base + ".cc").c_str());
    unlink((base + ".log").c_str());
    if (failed) return 6;
    rename((base + ".so").c_str(), path.c_str());
    library = contents(path);
  }
  const unsigned long long bytes = library.size();
  program->image = "FAKEBIN\n" + std::string((const char*)&bytes, 8) + library;
  return 0;
}
EXPORT int nvrtcGetProgramLogSize(Program* program, size_t* bytes) { BEGIN; *bytes = program->log.size() + 1; return 0; }
EXPORT int nvrtcGetProgramLog(Program* program, char* log) { BEGIN; memcpy(log, program->log.c_str(), program->log.size() + 1); return 0; }
EXPORT int nvrtcGetCUBINSize(Program* program, size_t* bytes) { BEGIN; *bytes = program->image.size(); return 0; }
EXPORT int nvrtcGetCUBIN(Program* program, char* image) { BEGIN; memcpy(image, program->image.data(), program->image.size()); return 0; }
EXPORT int nvrtcDestroyProgram(Program** program) { BEGIN; delete *program; *program = nullptr; return 0; }
EXPORT const char* nvrtcGetErrorString(int code) { return code == 6 ? "NVRTC_ERROR_COMPILATION" : "an error of the fake compiler"; }
EXPORT int nvrtcGetNumSupportedArchs(int* count) { BEGIN; *count = 3; return 0; }
EXPORT int nvrtcGetSupportedArchs(int* architectures) { BEGIN; architectures[0] = 75; architectures[1] = 80; architectures[2] = 90; return 0; }
