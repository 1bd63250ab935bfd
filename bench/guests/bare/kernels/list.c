/* A linked list of 512 nodes in random order, of a cache line each: every load waits for the last. */
#include "../kernel.h"

#define NODES 512

struct node {
  struct node *next;
  u64 value;
  u64 rest[6];
};
static struct node nodes[NODES];
static u32 order[NODES];

static void link_at_random(void) {
  u64 random = 1;
  for (u32 i = 0; i < NODES; i++) order[i] = i;
  for (u32 i = NODES - 1; i > 0; i--) {
    u32 other = next_random(&random) % (i + 1), mine = order[i];
    order[i] = order[other];
    order[other] = mine;
  }
  for (u32 i = 0; i < NODES; i++) {
    nodes[order[i]].next = &nodes[order[(i + 1) % NODES]];
    nodes[order[i]].value = i;
  }
}

u64 kernel(u64 rounds) {
  link_at_random();
  u64 sum = 0;
  struct node *at = nodes;
  for (u64 steps = rounds * NODES; steps > 0; steps--) {
    sum = sum * 3 + at->value;
    at = at->next;
  }
  return sum;
}
