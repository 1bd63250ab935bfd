/** The part of tar-stream that Umbra uses; the package has no types of its own. */
declare module 'tar-stream' {
  import type { Readable, Writable } from 'node:stream';

  export interface Header {
    readonly name: string;
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
    readonly size: number;
    readonly type:
      | 'file'
      | 'link'
      | 'symlink'
      | 'directory'
      | 'character-device'
      | 'block-device'
      | 'fifo';
    readonly linkname: string | null;
  }

  export interface Extract extends Writable, AsyncIterable<Readable & { header: Header }> {}
  export function extract(): Extract;

  export interface Pack extends Readable {
    entry(header: Partial<Header> & { mtime?: Date }, contents?: Uint8Array | string): void;
    /** Contents of `header.size` bytes are written into what is returned. */
    entry(header: Partial<Header>, ended: (error?: Error | null) => void): Writable;
    finalize(): void;
  }
  export function pack(): Pack;
}
