/*
 * The smallest guest that lives on a LAN: static addresses made from its MAC, ARP, ICMP echo,
 * neighbour discovery, ICMPv6 echo, and a TCP server that counts. It starts in S-mode under the
 * built-in firmware and sleeps until its network card interrupts.
 *
 * Addresses: 10.99.0.n and fd99::n, n being the last byte of the MAC. TCP port 7, on both: each
 * request of 8 bytes is answered by 8 bytes, the number of requests on this connection so far. One
 * connection at a time. Its state is a handful of words of memory, so an answer that is not the
 * last one plus one means that memory was lost or turned back.
 */
#include <stdbool.h>
#include <stdint.h>
typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

/* The firmware enters here, hart 0 in S-mode. */
asm(".section .text.start\n"
    ".globl _start\n"
    "_start: la sp, stack_top\n"
    "j guest\n"
    ".text\n");
static u8 stack[16384] __attribute__((aligned(16), used));
asm(".globl stack_top\n.set stack_top, stack + 16384\n");

void *memset(void *to, int byte, unsigned long count) {
  for (u8 *p = to; count > 0; count--) *p++ = byte;
  return to;
}

void *memcpy(void *to, const void *from, unsigned long count) {
  const u8 *q = from;
  for (u8 *p = to; count > 0; count--) *p++ = *q++;
  return to;
}

static bool same(const u8 *a, const u8 *b, u64 count) {
  for (u64 i = 0; i < count; i++) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

/* --- virtio: one receive and one transmit queue -------------------------------------------- */

#define RING 16
#define BUFFER 2048
#define HEADER 12 /* virtio-net's, in front of each frame */
enum { WRITE = 2 };

struct queue {
  struct { volatile u64 address; volatile u32 length; volatile u16 flags, next; } descriptor[RING];
  struct { volatile u16 flags, index, ring[RING + 1]; } available;
  struct {
    volatile u16 flags, index;
    struct { volatile u32 id, length; } ring[RING];
  } used __attribute__((aligned(8)));
  u16 seen;
} __attribute__((aligned(4096)));

static struct queue queues[2];
static u8 received[RING][BUFFER], sent[RING][BUFFER];

enum { DRIVER_FEATURES = 8, DRIVER_FEATURES_SEL, QUEUE_SEL = 12, QUEUE_NUM = 14, QUEUE_READY = 17,
       NOTIFY = 20, INTERRUPT_STATUS = 24, INTERRUPT_ACK, STATUS = 28, QUEUE_DESC = 32,
       QUEUE_DRIVER = 36, QUEUE_DEVICE = 40 };
static volatile u32 *const card = (volatile u32 *)0x10001000;
#define CARD_MAC ((volatile u8 *)0x10001100)
#define CARD_IRQ 1
/* The PLIC's second context is hart 0 in S-mode. */
#define PRIORITY(source) (*(volatile u32 *)(0xc000000ull + 4 * (source)))
#define ENABLE (*(volatile u32 *)0xc002080ull)
#define CLAIM (*(volatile u32 *)0xc201004ull)
#define SEIE (1 << 9)

static void offer(struct queue *queue, u16 head) {
  queue->available.ring[queue->available.index % RING] = head;
  asm volatile("fence w, w");
  queue->available.index++;
  asm volatile("fence w, o");
}

static void begin(void) {
  card[STATUS] = 0;
  card[STATUS] = 3;
  card[DRIVER_FEATURES_SEL] = 1;
  card[DRIVER_FEATURES] = 1; /* VIRTIO_F_VERSION_1 */
  card[DRIVER_FEATURES_SEL] = 0;
  card[DRIVER_FEATURES] = 1 << 5; /* VIRTIO_NET_F_MAC */
  card[STATUS] = 11;
  for (u64 n = 0; n < 2; n++) {
    card[QUEUE_SEL] = n;
    card[QUEUE_NUM] = RING;
    card[QUEUE_DESC] = (u64)queues[n].descriptor;
    card[QUEUE_DRIVER] = (u64)&queues[n].available;
    card[QUEUE_DEVICE] = (u64)&queues[n].used;
    card[QUEUE_READY] = 1;
  }
  card[STATUS] = 15;
  for (u16 n = 0; n < RING; n++) {
    queues[0].descriptor[n].address = (u64)received[n];
    queues[0].descriptor[n].length = BUFFER;
    queues[0].descriptor[n].flags = WRITE;
    offer(&queues[0], n);
  }
  card[NOTIFY] = 0;
  PRIORITY(CARD_IRQ) = 1;
  ENABLE = 1 << CARD_IRQ;
  asm volatile("csrs sie, %0" ::"r"((u64)SEIE));
}

static u8 mac[6], ip4[4] = {10, 99, 0}, ip6[16] = {0xfd, 0x99};
static const u8 everybody[6] = {255, 255, 255, 255, 255, 255};

/* A buffer for a frame; what stood there before has long been sent. */
static u8 *frame(void) { return sent[queues[1].available.index % RING] + HEADER; }

static void transmit(u64 length) {
  u16 at = queues[1].available.index % RING;
  memset(sent[at], 0, HEADER);
  queues[1].descriptor[at].address = (u64)sent[at];
  queues[1].descriptor[at].length = HEADER + (length < 60 ? 60 : length);
  queues[1].descriptor[at].flags = 0;
  offer(&queues[1], at);
  card[NOTIFY] = 1;
}

/* --- Bytes on the wire --------------------------------------------------------------------- */

static u16 get16(const u8 *at) { return at[0] << 8 | at[1]; }
static u32 get32(const u8 *at) { return (u32)get16(at) << 16 | get16(at + 2); }
static void put16(u8 *at, u16 value) { at[0] = value >> 8, at[1] = value; }
static void put32(u8 *at, u32 value) { put16(at, value >> 16), put16(at + 2, value); }

static u64 sum(const u8 *bytes, u64 count, u64 so_far) {
  for (u64 i = 0; i + 1 < count; i += 2) so_far += get16(bytes + i);
  if (count & 1) so_far += bytes[count - 1] << 8;
  return so_far;
}

static u16 folded(u64 value) {
  while (value >> 16) value = (value & 0xffff) + (value >> 16);
  return ~value;
}

static void ethernet(u8 *out, const u8 *to, u16 type) {
  memcpy(out, to, 6);
  memcpy(out + 6, mac, 6);
  put16(out + 12, type);
}

/* --- ARP ----------------------------------------------------------------------------------- */

static void arp(u16 operation, const u8 *to_mac, const u8 *target_mac, const u8 *target_ip) {
  u8 *out = frame();
  memset(out, 0, 60);
  ethernet(out, to_mac, 0x0806);
  static const u8 fixed[6] = {0, 1, 8, 0, 6, 4};
  memcpy(out + 14, fixed, 6);
  put16(out + 20, operation);
  memcpy(out + 22, mac, 6);
  memcpy(out + 28, ip4, 4);
  memcpy(out + 32, target_mac, 6);
  memcpy(out + 38, target_ip, 4);
  transmit(42);
}

/* --- IP: an answer goes back the way its question came -------------------------------------- */

enum { ICMP = 1, TCP = 6, ICMP6 = 58 };

/* Where the payload of an answer goes, behind the headers of version 4 or 6. */
static u8 *payload(bool six) { return frame() + 14 + (six ? 40 : 20); }

static void send_ip(const u8 *question, bool six, const u8 *to, u8 protocol, u64 length) {
  u8 *out = frame(), *ip = out + 14, *body = payload(six);
  ethernet(out, question + 6, six ? 0x86dd : 0x0800);
  memset(ip, 0, six ? 40 : 20);
  if (six) {
    ip[0] = 0x60;
    put16(ip + 4, length);
    ip[6] = protocol;
    ip[7] = 255;
    memcpy(ip + 8, ip6, 16);
    memcpy(ip + 24, to, 16);
  } else {
    ip[0] = 0x45;
    put16(ip + 2, 20 + length);
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, ip4, 4);
    memcpy(ip + 16, to, 4);
    put16(ip + 10, folded(sum(ip, 20, 0)));
  }
  u64 pseudo = protocol == ICMP ? 0 : protocol + length;
  if (protocol != ICMP) pseudo = sum(six ? ip + 8 : ip + 12, six ? 32 : 8, pseudo);
  u8 *checksum = body + (protocol == TCP ? 16 : 2);
  put16(checksum, 0);
  put16(checksum, folded(sum(body, length, pseudo)));
  transmit(14 + (six ? 40 : 20) + length);
}

/* --- ICMP and neighbour discovery ----------------------------------------------------------- */

static void echo(const u8 *question, bool six, const u8 *from, const u8 *body, u64 length) {
  u8 *out = payload(six);
  memcpy(out, body, length);
  out[0] = six ? 129 : 0;
  send_ip(question, six, from, six ? ICMP6 : ICMP, length);
}

/* An advertisement of our address: to whoever asked, or unasked to all nodes. */
static void advertise(const u8 *question, const u8 *to, bool solicited) {
  u8 *out = payload(true);
  memset(out, 0, 32);
  out[0] = 136;
  out[4] = solicited ? 0x60 : 0x20;
  memcpy(out + 8, ip6, 16);
  out[24] = 2;
  out[25] = 1;
  memcpy(out + 26, mac, 6);
  send_ip(question, true, to, ICMP6, 32);
}

/* --- TCP: one connection, counted ------------------------------------------------------------ */

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
#define REQUEST 8

static struct {
  u16 port;
  u32 next, count, answered;
} peer;

static void segment(const u8 *question, bool six, const u8 *from, const u8 *in, u8 flags, u32 number,
                    u64 length) {
  u8 *out = payload(six);
  put16(out, 7);
  put16(out + 2, get16(in));
  put32(out + 4, number);
  put32(out + 8, peer.next);
  out[12] = 0x50;
  out[13] = flags;
  put16(out + 14, 1024);
  put32(out + 16, 0);
  send_ip(question, six, from, TCP, 20 + length);
}

static void tcp(const u8 *question, bool six, const u8 *from, const u8 *in, u64 length) {
  u64 header = (in[12] >> 4) * 4;
  if (get16(in + 2) != 7 || length < header) return;
  u8 flags = in[13];
  u32 number = get32(in + 4);
  u64 bytes = length - header;
  if (flags & RST) return;
  if (flags & SYN) {
    peer.port = get16(in);
    peer.next = number + 1;
    peer.count = 0;
    segment(question, six, from, in, SYN | ACK, 0x10000, 0);
    return;
  }
  if (get16(in) != peer.port) return;
  if (bytes == REQUEST) {
    if (number == peer.next) {
      peer.next += REQUEST;
      peer.count++;
      peer.answered = get32(in + 8);
    } else if (number != peer.next - REQUEST) {
      return;
    }
    /* A request that comes again has lost its answer. */
    u8 *answer = payload(six) + 20;
    put32(answer, 0);
    put32(answer + 4, peer.count);
    segment(question, six, from, in, PSH | ACK, peer.answered, REQUEST);
  } else if (flags & FIN) {
    peer.next = number + bytes + 1;
    segment(question, six, from, in, FIN | ACK, get32(in + 8), 0);
  }
}

/* --- What comes ------------------------------------------------------------------------------ */

static void receive(const u8 *in, u64 length) {
  u16 type = get16(in + 12);
  const u8 *ip = in + 14;
  if (type == 0x0806 && get16(ip + 6) == 1 && same(ip + 24, ip4, 4)) {
    arp(2, in + 6, ip + 8, ip + 14);
  } else if (type == 0x0800 && ip[0] == 0x45 && same(ip + 16, ip4, 4) && length >= 34) {
    u64 bytes = get16(ip + 2) - 20;
    if (bytes > length - 34) return;
    if (ip[9] == ICMP && ip[20] == 8) echo(in, false, ip + 12, ip + 20, bytes);
    else if (ip[9] == TCP && bytes >= 20) tcp(in, false, ip + 12, ip + 20, bytes);
  } else if (type == 0x86dd && length >= 54) {
    u64 bytes = get16(ip + 4);
    const u8 *body = ip + 40;
    if (bytes > length - 54) return;
    bool solicited = ip[6] == ICMP6 && body[0] == 135;
    if (solicited && bytes >= 24 && same(body + 8, ip6, 16)) advertise(in, ip + 8, true);
    if (!same(ip + 24, ip6, 16)) return;
    if (ip[6] == ICMP6 && body[0] == 128) echo(in, true, ip + 8, body, bytes);
    else if (ip[6] == TCP && bytes >= 20) tcp(in, true, ip + 8, body, bytes);
  }
}

/* As any system at its start: everybody hears where its addresses are. */
static void introduce(void) {
  static const u8 nobody[6];
  arp(1, everybody, nobody, ip4);
  static const u8 to_all_nodes[12] = {0, 0, 0, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1};
  static const u8 all_nodes[16] = {0xff, 0x02, [15] = 1};
  advertise(to_all_nodes, all_nodes, false);
}

__attribute__((noreturn, used)) void guest(void) {
  begin();
  for (int i = 0; i < 6; i++) mac[i] = CARD_MAC[i];
  ip4[3] = ip6[15] = mac[5];
  introduce();
  for (;;) {
    struct queue *queue = &queues[0];
    while (queue->seen != queue->used.index) {
      u32 id = queue->used.ring[queue->seen % RING].id;
      u32 length = queue->used.ring[queue->seen % RING].length;
      queue->seen++;
      receive(received[id] + HEADER, length - HEADER);
      offer(queue, id);
      card[NOTIFY] = 0;
    }
    /* Interrupts stay off: one that is pending ends the wait. */
    asm volatile("wfi");
    u32 source = CLAIM;
    card[INTERRUPT_ACK] = card[INTERRUPT_STATUS];
    if (source != 0) CLAIM = source;
  }
}
