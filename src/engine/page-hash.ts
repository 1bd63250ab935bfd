/**
 * 64 bits over a page of RAM, for fingerprints: four lanes of multiply-and-rotate over its words,
 * then mixed together (after xxHash's construction, Collet 2012). An empty page hashes to a
 * constant, and the page's number is mixed in by the caller.
 */
import {
  add,
  type Builder,
  type Definitions,
  declare,
  type Expr,
  i64,
  ltU,
  mul,
  peek,
  rotl,
  shrU,
  xor,
} from '../isa/semantics.ts';
import { pageBytes } from '../machine/layout.ts';

const primes = [0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n] as const;
const lanes = 4;

/** (linear address of the page) -> its hash */
export const hashPage = declare('hashPage', { takes: ['i32'], gives: 'i64' });

function round(lane: Expr, word: Expr): Expr {
  return mul(rotl(add(lane, mul(word, primes[1])), 31), primes[0]);
}

function avalanche(o: Builder, hash: Expr): void {
  o.set(hash, mul(xor(hash, shrU(hash, 33)), primes[1]));
  o.set(hash, mul(xor(hash, shrU(hash, 29)), primes[2]));
  o.set(hash, xor(hash, shrU(hash, 32)));
}

export function definePageHash(definitions: Definitions): void {
  definitions.define(hashPage, (o, page) => {
    const lane = Array.from({ length: lanes }, (_, index) => o.let(i64(primes[0] + BigInt(index))));
    const at = o.let(page!);
    const end = o.let(add(page!, pageBytes));
    o.while(
      () => ltU(at, end),
      () => {
        for (const [index, value] of lane.entries()) {
          o.set(value, round(value, peek('u64', at, index * 8)));
        }
        o.set(at, add(at, lanes * 8));
      },
    );
    const hash = o.let(i64(BigInt(pageBytes)));
    for (const [index, value] of lane.entries()) {
      o.set(hash, round(xor(hash, rotl(value, index * 7 + 1)), value));
    }
    avalanche(o, hash);
    o.return(hash);
  });
}
