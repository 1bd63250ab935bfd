/**
 * The ar container (deb(5), ar(5)): a magic line, then members, each with a header of 60 bytes and
 * padded to an even length. A .deb holds `debian-binary`, `control.tar.*` and `data.tar.*`.
 */
export interface ArMember {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export class MalformedAr extends Error {
  override readonly name = 'MalformedAr';
}

const magic = '!<arch>\n';
const headerLength = 60;

/** The members, as views of `archive`. */
export function readAr(archive: Uint8Array): ArMember[] {
  const text = (at: number, length: number): string =>
    Buffer.from(archive.buffer, archive.byteOffset + at, length).toString('latin1');
  if (archive.length < magic.length || text(0, magic.length) !== magic) {
    throw new MalformedAr('no ar archive');
  }
  const members: ArMember[] = [];
  for (let at = magic.length; at < archive.length; ) {
    if (at + headerLength > archive.length) throw new MalformedAr('a header beyond the end');
    const header = text(at, headerLength);
    const size = Number(header.slice(48, 58));
    const start = at + headerLength;
    if (header.slice(58) !== '`\n' || !Number.isInteger(size) || start + size > archive.length) {
      throw new MalformedAr('a member beyond the end');
    }
    const name = header.slice(0, 16).trimEnd().replace(/\/$/, '');
    members.push({ name, bytes: archive.subarray(start, start + size) });
    at = start + size + (size & 1);
  }
  return members;
}

/** The twin: members without owner and time. */
export function writeAr(members: readonly ArMember[]): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from(magic)];
  for (const { name, bytes } of members) {
    const fields = [name.padEnd(16), '0'.padEnd(12), '0'.padEnd(6), '0'.padEnd(6), '100644  '];
    parts.push(Buffer.from(`${fields.join('')}${String(bytes.length).padEnd(10)}\`\n`), bytes);
    if (bytes.length & 1) parts.push(Buffer.from('\n'));
  }
  return Buffer.concat(parts);
}
