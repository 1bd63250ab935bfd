/** A table keyed by guest address and port, remote address and port; without strings as keys. */
import type { Ipv4 } from '../wire.ts';

const end = (address: Ipv4, port: number): number => address * 0x10000 + port;

export class FourTuples<Value> {
  readonly #byGuest = new Map<number, Map<number, Value>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(guest: Ipv4, guestPort: number, remote: Ipv4, remotePort: number): Value | undefined {
    return this.#byGuest.get(end(guest, guestPort))?.get(end(remote, remotePort));
  }

  set(guest: Ipv4, guestPort: number, remote: Ipv4, remotePort: number, value: Value): void {
    const key = end(guest, guestPort);
    let remotes = this.#byGuest.get(key);
    if (remotes === undefined) {
      remotes = new Map();
      this.#byGuest.set(key, remotes);
    }
    const before = remotes.size;
    remotes.set(end(remote, remotePort), value);
    this.#size += remotes.size - before;
  }

  delete(guest: Ipv4, guestPort: number, remote: Ipv4, remotePort: number): void {
    const key = end(guest, guestPort);
    const remotes = this.#byGuest.get(key);
    if (!remotes?.delete(end(remote, remotePort))) return;
    this.#size--;
    if (remotes.size === 0) this.#byGuest.delete(key);
  }
}
