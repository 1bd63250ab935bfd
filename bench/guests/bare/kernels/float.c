/*
 * Doubles without fused operations: five bodies and their gravity (add, multiply, divide, square
 * root), with the starting positions by chance.
 */
#include "../kernel.h"

#define BODIES 5
#define STEP 0.001
/* Bodies that meet do not fling each other out of the picture. */
#define SOFTENING 0.05

struct body {
  double x, y, z, vx, vy, vz, mass;
};
static struct body bodies[BODIES];

static double between_minus_and_plus_one(u64 *random) {
  return next_random(random) / 2147483648.0 - 1;
}

static void prepare(void) {
  u64 random = 1;
  for (int i = 0; i < BODIES; i++) {
    bodies[i] = (struct body){
      .x = between_minus_and_plus_one(&random),
      .y = between_minus_and_plus_one(&random),
      .z = between_minus_and_plus_one(&random),
      .mass = 1 + i * 0.25,
    };
  }
}

static void attract(struct body *a, struct body *b) {
  double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
  double square = dx * dx + dy * dy + dz * dz + SOFTENING;
  double strength = STEP / (square * __builtin_sqrt(square));
  double of_a = a->mass * strength, of_b = b->mass * strength;
  a->vx -= dx * of_b;
  a->vy -= dy * of_b;
  a->vz -= dz * of_b;
  b->vx += dx * of_a;
  b->vy += dy * of_a;
  b->vz += dz * of_a;
}

__attribute__((noinline)) static void advance(void) {
  for (int i = 0; i < BODIES; i++) {
    for (int j = i + 1; j < BODIES; j++) attract(&bodies[i], &bodies[j]);
  }
  for (int i = 0; i < BODIES; i++) {
    bodies[i].x += STEP * bodies[i].vx;
    bodies[i].y += STEP * bodies[i].vy;
    bodies[i].z += STEP * bodies[i].vz;
  }
}

u64 kernel(u64 rounds) {
  u64 sum = 0;
  prepare();
  for (; rounds > 0; rounds--) advance();
  for (int i = 0; i < BODIES; i++) sum = sum * 31 + bits_of(bodies[i].x) + bits_of(bodies[i].vy);
  return sum;
}
