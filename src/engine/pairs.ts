/**
 * Pairs of instructions that the interpreter executes with one dispatch.
 *
 * A dispatch is an indirect branch. In code as wide as a kernel's, where everything is executed once
 * in a while, most of them are mispredicted: they take half of the interpreter's time there. The
 * pairs are those met most often where Debian's kernel and Redis answer small requests.
 */
import { assert } from '../base/assert.ts';
import { rowIndex, rows } from '../isa/rows.ts';

const names = `
  addi: addi add sd jalr ld slli beq bne blt bltu auipc jal lw lui sb andi
  ld: ld addi add beq jalr sd slli bne xor andi auipc lw
  sd: sd addi ld add auipc
  add: add ld auipc jal addi sd beq or bne and lw lbu sb
  slli: add addi blt srli bltu beq bne slli
  lw: addi lw auipc sd beq bne andi addiw ld
  auipc: jalr addi ld
  lui: addi add
  andi: bne beq addi andi
  lbu: addi andi beq bne lbu
  or: or andi
  and: add beq
  srli: andi slli add
  slliw: srl
  srl: bne andi
  addiw: addi sd add slli
`;

/** Rows by number: first, second. What ends a block is never first. */
export const pairs: readonly (readonly [number, number])[] = names
  .trim()
  .split('\n')
  .flatMap((line) => {
    const [first = '', seconds = ''] = line.split(':');
    const number = rowIndex(first.trim());
    assert(!rows[number]!.endsBlock, `nothing follows on ${first}`);
    return seconds
      .trim()
      .split(' ')
      .map((second) => [number, rowIndex(second)] as const);
  });

const numbers = new Map(
  pairs.map(([first, second], index) => [first * rows.length + second, index]),
);

/** The number of the pair of two rows, if they are one. */
export const pairOf = (first: number, second: number): number | undefined =>
  first < 0 || second < 0 ? undefined : numbers.get(first * rows.length + second);
