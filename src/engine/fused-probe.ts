/**
 * Does relaxed_madd round once here? Its specification leaves that to the processor, so it is tried:
 * on numbers of which a product rounded by itself would give another sum.
 *
 * A module's name makes its bytes differ, so that each is compiled anew, by whichever of the host's
 * compilers is in force (host/engine.ts tries all of them).
 */
import { operators, type Type } from '../isa/operators.ts';
import { Code } from './wasm/code.ts';
import { ModuleWriter } from './wasm/module.ts';

const three = { takes: ['i64', 'i64', 'i64'], gives: 'i64' } as const satisfies {
  takes: Type[];
  gives: Type;
};

type Madd = (a: bigint, b: bigint, c: bigint) => bigint;

/** 1 + 2^-k squared and less 1: the last bit of the product decides. */
const trials: Readonly<Record<string, readonly (readonly [bigint, bigint, bigint])[]>> = {
  'f64.fma': [
    [0x3ff0_0000_0000_0001n, 0x3ff0_0000_0000_0001n, 0xbff0_0000_0000_0002n],
    [0x3ff0_0000_0800_0000n, 0x3ff0_0000_0800_0000n, 0xbff0_0000_1000_0000n],
    [0x3fd5_5555_5555_5555n, 0x4008_0000_0000_0000n, 0xbff0_0000_0000_0000n],
  ],
  'f32.fma': [
    [0x3f80_0001n, 0x3f80_0001n, 0xbf80_0002n],
    [0x3f80_0800n, 0x3f80_0800n, 0xbf80_1000n],
    [0x3eaa_aaabn, 0x4040_0000n, 0xbf80_0000n],
  ],
};

export function maddIsFused(name: string): boolean {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 });
  return Object.entries(trials).every(([operator, cases]) => {
    const code = new Code(3);
    for (const parameter of [0, 1, 2]) {
      code.getLocal(parameter);
      for (const byte of operators[operator]!.around!.operand) code.byte(byte);
    }
    code.op(operators[operator]!);
    const module = new ModuleWriter();
    const position = module.declareFunction(three);
    module.setBody(position, code.finish());
    module.export(name, position);
    const compiled = new WebAssembly.Module(module.finish(1));
    const { exports } = new WebAssembly.Instance(compiled, { umbra: { memory, table } });
    const madd = exports[name] as Madd;
    return cases.every(
      ([a, b, c]) => BigInt.asUintN(64, madd(a, b, c)) === operators[operator]!.meaning(a, b, c),
    );
  });
}
