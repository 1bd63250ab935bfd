/*
 * The server of the cluster simulator on a whole board: one record per client, on a disk, in the
 * protocol of src/sim/toy-machine.ts. Network, disks and entropy are virtio devices, interrupts come
 * through the PLIC, a timer of the CLINT keeps harts busy at times, and the console is the UART.
 *
 * `state` is mixed with clock, count and place in the program at all that happens, so executions that
 * differ once never say the same again. A second hart computes under a lock of memory that `state` is
 * mixed with too: the order in which harts took it shows as well.
 *
 * Interrupts are open only while hart 0 computes or waits; handlers note and mix, the loop does the
 * rest. Parameters lie where firmware expects a kernel: the ticks between timer interrupts, and the
 * rounds of a burst of computing.
 */
#include "support/guest.h"

#define PRIORITY(source) (*(volatile u32 *)(PLIC + 4 * (source)))
#define ENABLE(context) (*(volatile u32 *)(PLIC + 0x2000 + 0x80 * (context)))
#define CLAIM(context) (*(volatile u32 *)(PLIC + 0x200004 + 0x1000 * (context)))
#define UART_IRQ 10
#define CLIENTS 4
#define SECTOR 512

static const struct {
  u64 period, burst, harts;
} *const parameters = (void *)0x80200000;

/* --- What happened, in one number ---------------------------------------------------------- */

enum happened { BOOT = 1, TRAP, SOURCE, FRAME, DISK, KEY, ENTROPY, TICK, WORK };
static u64 state = 0x9e3779b97f4a7c15;

static u64 mixed(u64 before, u64 value) {
  u64 after = (before ^ value) * 0x2545f4914f6cdd1d;
  return after ^ after >> 29;
}

static void mix(u64 kind, u64 value) {
  state = mixed(state ^ kind << 56, value);
  state = mixed(state, read_csr(cycle));
  state = mixed(state, read_csr(time));
}

static void mix_bytes(u64 kind, volatile u8 *bytes, u64 count) {
  u64 sum = count;
  for (u64 i = 0; i < count; i++) sum = mixed(sum, bytes[i]);
  mix(kind, sum);
}

/* --- Computing, on one hart or two --------------------------------------------------------- */

static u64 locked __attribute__((aligned(64)));
static volatile u64 shared[16 * 512] __attribute__((aligned(4096)));

/* Rounds of work on memory that both harts write, in the order in which they take the lock. */
static void compute(u64 rounds) {
  u64 hart = read_csr(mhartid);
  for (u64 i = 0; i < rounds; i++) {
    u64 taken;
    for (;;) {
      asm volatile("amoswap.d.aq %0, %2, (%1)" : "=r"(taken) : "r"(&locked), "r"(1ull) : "memory");
      if (!taken) break;
      asm volatile(".insn 0x0100000f");  /* pause */
    }
    u64 at = shared[0] % (16 * 512 - 1) + 1;
    shared[at] = mixed(shared[at] + hart, read_csr(cycle));
    shared[0] = mixed(shared[0], shared[at]);
    asm volatile("amoswap.d.rl zero, zero, (%0)" ::"r"(&locked) : "memory");
  }
}

static volatile u64 wanted;

void secondary(u64 hart) {
  for (;;) {
    while (!MSIP(hart)) asm volatile("wfi");
    MSIP(hart) = 0;
    compute(wanted);
  }
}

static void work(u64 rounds) {
  set_csr(mstatus, MSTATUS_MIE);
  compute(rounds);
  clear_csr(mstatus, MSTATUS_MIE);
  mix(WORK, shared[0]);
}

static void burst(void) {
  if (parameters->harts > 1) {
    wanted = parameters->burst / 2 + (state & 63);
    MSIP(1) = 1;
  }
  work(parameters->burst);
}

static void say(const char *what, u64 number) {
  put(what);
  put(" ");
  hex(number);
  put(" ");
  hex(state);
  put("\n");
}

/* --- virtio -------------------------------------------------------------------------------- */

#define RING 16
enum { NEXT = 1, WRITE = 2 };

struct queue {
  struct { volatile u64 address; volatile u32 length; volatile u16 flags, next; } descriptor[RING];
  struct { volatile u16 flags, index, ring[RING + 1]; } available;
  struct {
    volatile u16 flags, index;
    struct { volatile u32 id, length; } ring[RING];
  } used __attribute__((aligned(8)));
  u16 seen;
} __attribute__((aligned(4096)));

enum { DRIVER_FEATURES = 8, DRIVER_FEATURES_SEL, QUEUE_SEL = 12, QUEUE_NUM = 14, QUEUE_READY = 17,
       NOTIFY = 20, INTERRUPT_STATUS = 24, INTERRUPT_ACK, STATUS = 28, QUEUE_DESC = 32,
       QUEUE_DRIVER = 36, QUEUE_DEVICE = 40 };
enum { NO_DEVICE, NETWORK, BLOCK, RANDOM = 4 };
static volatile u32 *slot(u64 n) { return (volatile u32 *)(0x10001000 + 0x1000 * n); }

static void begin(u64 at, u32 features, struct queue *queues, u64 count) {
  volatile u32 *device = slot(at);
  device[STATUS] = 0;
  device[STATUS] = 3;
  device[DRIVER_FEATURES_SEL] = 1;
  device[DRIVER_FEATURES] = 1;  /* VIRTIO_F_VERSION_1 */
  device[DRIVER_FEATURES_SEL] = 0;
  device[DRIVER_FEATURES] = features;
  device[STATUS] = 11;
  for (u64 n = 0; n < count; n++) {
    device[QUEUE_SEL] = n;
    device[QUEUE_NUM] = RING;
    device[QUEUE_DESC] = (u64)queues[n].descriptor;
    device[QUEUE_DRIVER] = (u64)&queues[n].available;
    device[QUEUE_DEVICE] = (u64)&queues[n].used;
    device[QUEUE_READY] = 1;
  }
  device[STATUS] = 15;
  PRIORITY(1 + at) = 1;
  ENABLE(0) |= 2 << at;
}

static void describe(struct queue *queue, u16 at, volatile void *address, u32 length, u16 flags) {
  queue->descriptor[at].address = (u64)address;
  queue->descriptor[at].length = length;
  queue->descriptor[at].flags = flags;
  queue->descriptor[at].next = at + 1;
}

static void offer(struct queue *queue, u16 head) {
  queue->available.ring[queue->available.index % RING] = head;
  asm volatile("fence w, w");
  queue->available.index++;
  asm volatile("fence w, o");
}

/* The head of a chain that the device has used, or -1. */
static int take(struct queue *queue) {
  if (queue->seen == queue->used.index) return -1;
  return queue->used.ring[queue->seen++ % RING].id;
}

/* --- Clients and their records ------------------------------------------------------------- */

struct stored {
  u32 sequence;
  u64 history;
  u32 version;
} __attribute__((packed));

static struct row {
  struct stored known;
  bool loaded;
  enum { FREE, QUEUED, READING, WRITING, FLUSHING } stage;
  u32 wanted;
  struct { u32 type, reserved; u64 sector; } header;
  u8 sector[SECTOR] __attribute__((aligned(16)));
  volatile u8 status;
} rows[CLIENTS];

enum verdict { DONE, LOST_WORK, BAD_DISK };

struct answer {
  u8 header[12];  /* virtio-net's */
  u8 client;
  u32 sequence;
  u8 verdict;
  u64 history;
} __attribute__((packed));

static struct queue network[2];
static u8 received[RING][64];
static struct answer answers[RING];

static void answer(u64 client, enum verdict verdict, u64 history) {
  u16 at = network[1].available.index % RING;
  answers[at] = (struct answer){
      .client = client, .sequence = rows[client].wanted, .verdict = verdict, .history = history};
  describe(&network[1], at, &answers[at], sizeof answers[at], 0);
  offer(&network[1], at);
  slot(0)[NOTIFY] = 1;
}

static struct queue disks[2];
static u64 disk_count;

/* virtio-blk's requests; a client's chain is always the same three descriptors. */
enum request { IN, OUT, FLUSH = 4 };
static void request(u64 client, enum request type) {
  struct row *row = &rows[client];
  u64 disk = client % disk_count;
  struct queue *queue = &disks[disk];
  u16 head = 3 * client;
  row->header.type = type;
  row->header.sector = type == FLUSH ? 0 : client;
  row->status = 0xff;
  describe(queue, head, &row->header, sizeof row->header, NEXT);
  describe(queue, head + 1, row->sector, SECTOR, NEXT | (type == IN ? WRITE : 0));
  describe(queue, head + 2, &row->status, 1, WRITE);
  if (type == FLUSH) queue->descriptor[head].next = head + 2;
  offer(queue, head);
  slot(1 + disk)[NOTIFY] = 0;
}

static void have_read(u64 client) {
  struct row *row = &rows[client];
  struct stored found = *(struct stored *)row->sector;
  bool same = found.version == row->known.version && found.history == row->known.history;
  row->stage = FREE;
  if (row->loaded && !same) return answer(client, BAD_DISK, state);
  row->known = found;
  row->loaded = true;
  if (row->wanted == found.sequence + 1) {
    work(10 + (state & 31));
    row->known = (struct stored){row->wanted, state, found.version + 1};
    *(struct stored *)row->sector = row->known;
    row->stage = WRITING;
    request(client, OUT);
  } else if (row->wanted == found.sequence) {
    /* What a predecessor wrote may not be durable yet. */
    row->stage = FLUSHING;
    request(client, FLUSH);
  } else if (row->wanted > found.sequence) {
    answer(client, LOST_WORK, state);
  }
}

static void disk_done(u64 client) {
  struct row *row = &rows[client];
  mix(DISK, client << 8 | row->status);
  if (row->stage == READING) mix_bytes(DISK, row->sector, sizeof(struct stored));
  if (row->status != 0) {
    /* The request fails without an answer; the client comes again. */
    row->loaded = false;
    row->stage = FREE;
    say("disk error", client % disk_count);
  } else if (row->stage == READING) {
    have_read(client);
  } else if (row->stage == WRITING) {
    row->stage = FLUSHING;
    request(client, FLUSH);
  } else if (row->stage == FLUSHING) {
    row->stage = FREE;
    answer(client, DONE, row->known.history);
  }
}

static void frame(volatile u8 *bytes) {
  mix_bytes(FRAME, bytes, 5);
  u64 client = bytes[0];
  if (client >= CLIENTS || rows[client].stage != FREE) return;
  rows[client].wanted = bytes[1] | bytes[2] << 8 | bytes[3] << 16 | (u32)bytes[4] << 24;
  rows[client].stage = QUEUED;
}

static void serve(u64 client) {
  work(10 + (state & 127));
  rows[client].stage = READING;
  request(client, IN);
}

/* --- Interrupts, and the loop behind them -------------------------------------------------- */

static volatile u64 timers;
static u64 ticks;
static struct queue random[1];
static u64 random_slot;
static volatile u8 entropy[8];
static bool entropy_asked;

__attribute__((interrupt("machine"), aligned(4))) static void interrupted(void) {
  u64 cause = read_csr(mcause);
  mix(TRAP, cause);
  mix(TRAP, read_csr(mepc));
  if (cause == (INTERRUPT | MTI)) {
    timers++;
    MTIMECMP(0) = read_csr(time) + parameters->period;
    return;
  }
  u32 source = CLAIM(0);
  mix(SOURCE, source);
  if (source == UART_IRQ) {
    while (UART[5] & 1) mix(KEY, UART[0]);
  } else if (source != 0) {
    volatile u32 *device = slot(source - 1);
    device[INTERRUPT_ACK] = device[INTERRUPT_STATUS];
  }
  CLAIM(0) = source;
}

static void tick(void) {
  ticks++;
  mix(TICK, ticks);
  u64 choice = state & 15;
  if (choice < 3) {
    say("tick", ticks);
  } else if (choice < 5 && !entropy_asked) {
    entropy_asked = true;
    offer(random, 0);
    slot(random_slot)[NOTIFY] = 0;
  } else if (choice < 8) {
    burst();
  }
}

/* Does one thing of all that has come, in a fixed order. */
static bool advance(void) {
  int head;
  if ((head = take(&network[0])) >= 0) {
    frame(received[head] + 12);
    offer(&network[0], head);
    slot(0)[NOTIFY] = 0;
    return true;
  }
  for (u64 disk = 0; disk < disk_count; disk++) {
    if ((head = take(&disks[disk])) >= 0) return disk_done(head / 3), true;
  }
  for (u64 client = 0; client < CLIENTS; client++) {
    if (rows[client].stage == QUEUED) return serve(client), true;
  }
  if (take(random) >= 0) {
    entropy_asked = false;
    mix_bytes(ENTROPY, entropy, sizeof entropy);
    return true;
  }
  if (timers == 0) return false;
  timers = 0;
  tick();
  return true;
}

int main(void) {
  write_csr(mtvec, interrupted);
  for (u64 at = 1; slot(at)[2] == BLOCK; at++) begin(at, 1 << 9, &disks[disk_count++], 1);
  random_slot = 1 + disk_count;
  begin(random_slot, 0, random, 1);
  describe(random, 0, entropy, sizeof entropy, WRITE);
  begin(0, 0, network, 2);
  for (u16 n = 0; n < RING; n++) {
    describe(&network[0], n, received[n], sizeof received[n], WRITE);
    offer(&network[0], n);
  }
  PRIORITY(UART_IRQ) = 1;
  ENABLE(0) |= 1 << UART_IRQ;
  UART[1] = 1;
  MTIMECMP(0) = read_csr(time);
  write_csr(mie, 1 << MTI | 1 << MEI);
  mix(BOOT, disk_count);
  say("up", disk_count);
  for (;;) {
    while (advance()) {
    }
    /* Off while it looks: what comes in between ends the wait at once. */
    asm volatile("wfi");
    set_csr(mstatus, MSTATUS_MIE);
    clear_csr(mstatus, MSTATUS_MIE);
  }
}
