/*
 * Two harts take nodes from one free list, use them for a while and give them back, under a lock that
 * is none: between looking whether it is free and taking it, the other hart may do the same. Hardly
 * ever does it happen, and when it has happened nothing is seen for a while: both harts have the same
 * node, and only when it is given back twice does the list end in a place that is no node.
 *
 * Supervisor mode, no address translation, SBI for everything else. The seed comes from the clock, so
 * no two runs are alike.
 */
typedef unsigned long u64;

#define NODES 4
#define POISON 0x5a5a5a5a5a5a5a5aul

struct node {
  struct node *next;
  u64 used;
};

static struct node nodes[NODES];
struct node *free_list;
volatile u64 locked;
volatile u64 rounds[2];
static u64 stacks[2][512] __attribute__((aligned(16)));

asm(".text\n"
    ".globl _start\n"
    "_start:\n"
    "  .option push\n"
    "  .option norelax\n"
    "  la sp, stack_tops\n"
    "  .option pop\n"
    "  slli t0, a0, 3\n"
    "  add sp, sp, t0\n"
    "  ld sp, 0(sp)\n"
    "  la t0, fault_entry\n"
    "  csrw stvec, t0\n"
    "  j begin\n"
    ".balign 4\n"
    "fault_entry:\n"
    "  csrr a0, scause\n"
    "  csrr a1, sepc\n"
    "  csrr a2, stval\n"
    "  j fault\n");

void *const stack_tops[2] = {stacks[1], stacks[1] + 512};

static u64 sbi(u64 extension, u64 function, u64 a, u64 b, u64 c) {
  register u64 a0 asm("a0") = a;
  register u64 a1 asm("a1") = b;
  register u64 a2 asm("a2") = c;
  register u64 a6 asm("a6") = function;
  register u64 a7 asm("a7") = extension;
  asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
  return a0;
}

static void print(const char *text) {
  u64 length = 0;
  while (text[length]) length++;
  sbi(0x4442434e, 0, length, (u64)text, 0);
}

static void print_hex(u64 value) {
  char text[17];
  for (int digit = 15; digit >= 0; digit--, value >>= 4) text[digit] = "0123456789abcdef"[value & 15];
  text[16] = 0;
  print(text);
}

__attribute__((noinline)) void fault(u64 cause, u64 at, u64 address) {
  print("fault ");
  print_hex(cause);
  print(" at ");
  print_hex(at);
  print(" address ");
  print_hex(address);
  print("\n");
  sbi(0x53525354, 0, 0, 0, 0);
  for (;;) asm volatile("wfi");
}

__attribute__((noinline)) static void lock(void) {
  while (locked) asm volatile("" ::: "memory");
  locked = 1;
}

__attribute__((noinline)) static void unlock(void) { locked = 0; }

__attribute__((noinline)) static struct node *take(void) {
  struct node *node;
  lock();
  node = free_list;
  if (node) free_list = node->next;
  unlock();
  if (node) node->next = (struct node *)POISON;
  return node;
}

__attribute__((noinline)) static void give(struct node *node) {
  lock();
  node->next = free_list;
  free_list = node;
  unlock();
}

static u64 random_below(u64 *state, u64 bound) {
  *state = *state * 6364136223846793005ul + 1442695040888963407ul;
  return (*state >> 33) % bound;
}

__attribute__((noinline)) static void use(struct node *node, u64 times) {
  for (u64 at = 0; at < times; at++) node->used = node->used * 31 + at;
}

__attribute__((noinline, noreturn)) static void work(u64 hart, u64 seed) {
  for (;;) {
    struct node *node = take();
    if (!node) continue;
    use(node, 20 + random_below(&seed, 100));
    give(node);
    rounds[hart]++;
  }
}

void begin(u64 hart) {
  u64 seed;
  asm volatile("rdtime %0" : "=r"(seed));
  if (hart == 0) {
    for (int at = 0; at < NODES; at++) {
      nodes[at].next = free_list;
      free_list = &nodes[at];
    }
    extern char _start[];
    print("racing\n");
    sbi(0x48534d, 0, 1, (u64)_start, 0);
  }
  work(hart, seed * 2 + hart);
}
