/*
 * A jump table for every step: a machine of sixteen registers whose program counts the steps of
 * Collatz sequences.
 */
#include "../kernel.h"

enum operation {
  SET, MOVE, ADD, ADD_NUMBER, SUBTRACT, MULTIPLY_NUMBER, SHIFT_RIGHT, AND_NUMBER, XOR, JUMP,
  JUMP_IF_ZERO, JUMP_IF_NOT_ZERO, JUMP_IF_LESS, HALT,
};

struct instruction {
  u8 operation, target, source;
  int number;
};

enum name { LIMIT, FIRST, N, STEPS, CHECK, BIT, ONE };

static const struct instruction collatz[] = {
  /*  0 */ {SET, FIRST, 0, 1},
  /*  1 */ {SET, ONE, 0, 1},
  /*  2 */ {SET, CHECK, 0, 0},
  /*  3 */ {MOVE, N, FIRST, 0},
  /*  4 */ {SET, STEPS, 0, 0},
  /*  5 */ {MOVE, BIT, N, 0},
  /*  6 */ {SUBTRACT, BIT, ONE, 0},
  /*  7 */ {JUMP_IF_ZERO, BIT, 0, 17},
  /*  8 */ {ADD_NUMBER, STEPS, 0, 1},
  /*  9 */ {MOVE, BIT, N, 0},
  /* 10 */ {AND_NUMBER, BIT, 0, 1},
  /* 11 */ {JUMP_IF_NOT_ZERO, BIT, 0, 14},
  /* 12 */ {SHIFT_RIGHT, N, 0, 1},
  /* 13 */ {JUMP, 0, 0, 5},
  /* 14 */ {MULTIPLY_NUMBER, N, 0, 3},
  /* 15 */ {ADD_NUMBER, N, 0, 1},
  /* 16 */ {JUMP, 0, 0, 5},
  /* 17 */ {XOR, CHECK, STEPS, 0},
  /* 18 */ {MULTIPLY_NUMBER, CHECK, 0, 31},
  /* 19 */ {ADD, CHECK, FIRST, 0},
  /* 20 */ {ADD_NUMBER, FIRST, 0, 1},
  /* 21 */ {JUMP_IF_LESS, FIRST, LIMIT, 3},
  /* 22 */ {HALT, 0, 0, 0},
};

__attribute__((noinline)) static void interpret(const struct instruction *program, u64 *x) {
  for (const struct instruction *at = program;;) {
    struct instruction now = *at++;
    switch ((enum operation)now.operation) {
      case SET: x[now.target] = now.number; break;
      case MOVE: x[now.target] = x[now.source]; break;
      case ADD: x[now.target] += x[now.source]; break;
      case ADD_NUMBER: x[now.target] += now.number; break;
      case SUBTRACT: x[now.target] -= x[now.source]; break;
      case MULTIPLY_NUMBER: x[now.target] *= now.number; break;
      case SHIFT_RIGHT: x[now.target] >>= now.number; break;
      case AND_NUMBER: x[now.target] &= now.number; break;
      case XOR: x[now.target] ^= x[now.source]; break;
      case JUMP: at = program + now.number; break;
      case JUMP_IF_ZERO: if (x[now.target] == 0) at = program + now.number; break;
      case JUMP_IF_NOT_ZERO: if (x[now.target] != 0) at = program + now.number; break;
      case JUMP_IF_LESS: if (x[now.target] < x[now.source]) at = program + now.number; break;
      case HALT: return;
    }
  }
}

/* A round is a thousand numbers. */
u64 kernel(u64 rounds) {
  u64 x[16] = {0};
  x[LIMIT] = rounds * 1000;
  interpret(collatz, x);
  return x[CHECK];
}
