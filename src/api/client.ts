/**
 * The typed client of Node programs: `client.call('showVm', { params: { vm: 'web' } })`. Types,
 * paths and methods come from the endpoint table (calls.ts).
 */
import { Calls } from './calls.ts';
import { type Trust, Wire } from './wire.ts';

export class Client extends Calls {
  readonly wire: Wire;

  constructor(url: string, trust: Trust) {
    const wire = new Wire(url, trust);
    super(wire);
    this.wire = wire;
  }

  /** Closes kept connections. */
  close(): void {
    this.wire.close();
  }
}
