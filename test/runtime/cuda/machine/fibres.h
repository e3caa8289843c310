// Threads of a block as fibres: a stack each, and a switch that costs a few nanoseconds.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#if defined(__x86_64__)
// Saves what a call keeps, on the own stack; the other stack then gives back what it has saved.
extern "C" void birkhoffSwitch(void** from, void* to);
asm(R"(
.text
.globl birkhoffSwitch
.hidden birkhoffSwitch
.type birkhoffSwitch,@function
birkhoffSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
struct Fibre {
  void* at = nullptr;
  static constexpr size_t stackBytes = 256 << 10;
  void begin(void (*main)()) {
    char* stack = (char*)mmap(nullptr, stackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void** top = (void**)(stack + stackBytes - 64);
    *--top = nullptr;        // where main would return to, and the alignment of a call
    *--top = (void*)main;
    top -= 6;                // what the switch gives back
    for (int i = 0; i < 6; i++) top[i] = nullptr;
    at = top;
  }
  static void change(Fibre& from, Fibre& to) { birkhoffSwitch(&from.at, to.at); }
};
#else
#include <ucontext.h>
struct Fibre {
  ucontext_t at;
  static constexpr size_t stackBytes = 256 << 10;
  void begin(void (*main)()) {
    getcontext(&at);
    at.uc_stack.ss_sp = mmap(nullptr, stackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    at.uc_stack.ss_size = stackBytes;
    at.uc_link = nullptr;
    makecontext(&at, main, 0);
  }
  static void change(Fibre& from, Fibre& to) { swapcontext(&from.at, &to.at); }
};
#endif
