/**
 * What passes between a guest and the world, counted: frames of its network card, requests of its
 * disks. Totals since the process began, of what this copy has done itself: a shadow sends nothing,
 * but writes its own replica.
 */
import type { VmStatus } from '../../api/agent.ts';
import type { DiskRequest } from '../../machine/effects.ts';

export class Traffic {
  #network = { bytesReceived: 0, bytesSent: 0, framesReceived: 0, framesSent: 0 };
  #disk = { bytesRead: 0, bytesWritten: 0, reads: 0, writes: 0 };

  received(frame: Uint8Array): void {
    this.#network.bytesReceived += frame.length;
    this.#network.framesReceived += 1;
  }

  sent(frame: Uint8Array): void {
    this.#network.bytesSent += frame.length;
    this.#network.framesSent += 1;
  }

  /** A guest's; what copies a replica is none. Flushes and discards move no bytes. */
  disk({ action, length }: DiskRequest): void {
    if (action === 'read') {
      this.#disk.bytesRead += length;
      this.#disk.reads += 1;
    } else if (action === 'write') {
      this.#disk.bytesWritten += length;
      this.#disk.writes += 1;
    }
  }

  get totals(): Required<Pick<VmStatus, 'network' | 'disk'>> {
    return { network: { ...this.#network }, disk: { ...this.#disk } };
  }
}
