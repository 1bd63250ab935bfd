/*
 * The first process of a guest that measures an operating system's work. `system NAME ROUNDS` does
 * it ROUNDS times between the lines `start NAME` and `end NAME`, says `result VALUE` and powers off.
 * Time is not looked at here: whoever reads the console has a better clock.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PAGE_BYTES 4096
#define REGION_BYTES (4 << 20)

static void check(int fine, const char *what) {
  if (fine) return;
  perror(what);
  reboot(RB_POWER_OFF);
}

static unsigned long nothing(unsigned long rounds) { return rounds; }

static unsigned long system_calls(unsigned long rounds) {
  unsigned long sum = 0;
  for (; rounds > 0; rounds--) sum += 1 + syscall(SYS_getppid);
  return sum;
}

/* A round maps 4 MiB, touches each page and gives them back; huge pages would be another test. */
static unsigned long page_faults(unsigned long rounds) {
  unsigned long touched = 0;
  for (; rounds > 0; rounds--) {
    char *region =
        mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(region != MAP_FAILED, "mmap");
    madvise(region, REGION_BYTES, MADV_NOHUGEPAGE);
    for (long at = 0; at < REGION_BYTES; at += PAGE_BYTES) touched += ++region[at];
    check(munmap(region, REGION_BYTES) == 0, "munmap");
  }
  return touched;
}

static unsigned long children(unsigned long rounds, void (*child)(void)) {
  unsigned long sum = 0;
  for (; rounds > 0; rounds--) {
    int status;
    pid_t pid = fork();
    if (pid == 0) child();
    check(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status), "fork");
    sum += WEXITSTATUS(status);
  }
  return sum;
}

static void exit_at_once(void) { _exit(1); }

static void execute(void) {
  execl("/bench/child", "child", NULL);
  _exit(255);
}

static unsigned long fork_only(unsigned long rounds) { return children(rounds, exit_at_once); }
static unsigned long fork_and_execute(unsigned long rounds) { return children(rounds, execute); }

/* A byte goes to another process and comes back: two switches a round. */
static unsigned long context_switches(unsigned long rounds) {
  int there[2], back[2];
  unsigned char byte = 1;
  unsigned long sum = 0;
  check(pipe(there) == 0 && pipe(back) == 0, "pipe");
  pid_t pid = fork();
  check(pid >= 0, "fork");
  if (pid == 0) {
    close(there[1]);
    while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1) {
    }
    _exit(0);
  }
  for (; rounds > 0; rounds--) {
    check(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "pipe");
    sum += byte;
  }
  close(there[1]);
  check(waitpid(pid, NULL, 0) == pid, "wait");
  return sum;
}

static const struct {
  const char *name;
  unsigned long (*work)(unsigned long rounds);
} all[] = {
  {"nothing", nothing},
  {"system-calls", system_calls},
  {"page-faults", page_faults},
  {"context-switches", context_switches},
  {"fork", fork_only},
  {"exec", fork_and_execute},
};

int main(int count, char **arguments) {
  check(count == 3, "system NAME ROUNDS");
  setvbuf(stdout, NULL, _IONBF, 0);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (strcmp(all[i].name, arguments[1]) != 0) continue;
    printf("start %s\n", all[i].name);
    unsigned long result = all[i].work(strtoul(arguments[2], NULL, 10));
    printf("end %s\nresult %lx\n", all[i].name, result);
  }
  tcdrain(STDOUT_FILENO);
  reboot(RB_POWER_OFF);
  return 0;
}
