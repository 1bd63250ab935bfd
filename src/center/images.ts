/**
 * Images for VMs. They are built into the store of the center's machine (images/image.ts); a VM
 * pins the bytes that it was created from: hard links in the center's own folder, named by digest,
 * which building the image anew does not touch.
 *
 * The digest is SHA-256 over `image.json`, which has the hash of every file: hosts verify all that
 * they fetch. `GET /images/:image/files/:path` takes a name (the newest) or a digest (pinned).
 */
import { createHash, randomUUID } from 'node:crypto';
import { constants, existsSync, readdirSync, rmSync } from 'node:fs';
import { copyFile, link, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { ImageView } from '../api/images.ts';
import { UmbraError } from '../base/errors.ts';

const ImageFile = Type.Object({
  path: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$' }),
  bytes: Type.Integer(),
});
/** What the center needs of `image.json`. */
const Description = Type.Object({
  format: Type.Literal(1),
  name: Type.String(),
  summary: Type.Optional(Type.String()),
  kernel: ImageFile,
  initrd: ImageFile,
  disks: Type.Array(ImageFile),
  memory: Type.Integer({ minimum: 1 }),
});
const description = Compile(Description);

export interface PinnedImage extends Static<typeof Description> {
  readonly digest: string;
}

const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
const digestPattern = /^[0-9a-f]{64}$/;

export class Images {
  readonly #built: string;
  readonly #pinned: string;
  /** Digest -> how many VMs are being made of it. */
  readonly #held = new Map<string, number>();

  constructor(home: string, directory: string) {
    this.#built = join(home, 'images');
    this.#pinned = join(directory, 'images');
    // Of a center that ended while it copied.
    for (const left of existsSync(this.#pinned) ? readdirSync(this.#pinned) : []) {
      if (!digestPattern.test(left)) rmSync(join(this.#pinned, left), { recursive: true });
    }
  }

  /**
   * The image as it is built now, kept from now on; until it is released, also if no VM has it.
   * @param expected the digest, if the caller means one image and no other of that name
   */
  async pin(name: string, expected?: string): Promise<PinnedImage> {
    const folder = join(this.#built, name);
    if (!namePattern.test(name) || !existsSync(join(folder, 'image.json')))
      throw this.#unknown(name);
    const text = await readFile(join(folder, 'image.json'));
    const digest = createHash('sha256').update(text).digest('hex');
    if (expected !== undefined && expected !== digest) {
      throw new UmbraError(
        'image-changed',
        `the image "${name}" at the center is another one than was asked for`,
        "See which it is on the center's machine: umbra image show.",
      );
    }
    const image = parse(name, text.toString('utf8'));
    this.#held.set(digest, (this.#held.get(digest) ?? 0) + 1);
    try {
      await this.#keep(image, folder, join(this.#pinned, digest));
    } catch (error) {
      this.release(digest);
      throw error;
    }
    return { ...image, digest };
  }

  /** Images as they are built now, by name. One that is damaged is left out: no VM can be made of it. */
  async list(): Promise<ImageView[]> {
    if (!existsSync(this.#built)) return [];
    const names = readdirSync(this.#built).filter((name) => namePattern.test(name));
    const found: ImageView[] = [];
    for (const name of names.sort()) {
      const path = join(this.#built, name, 'image.json');
      if (!existsSync(path)) continue;
      const text = await readFile(path);
      try {
        const { summary = '', memory, disks } = parse(name, text.toString('utf8'));
        const digest = createHash('sha256').update(text).digest('hex');
        const diskBytes = disks.map(({ bytes }) => bytes);
        found.push({ name, digest, summary, memoryBytes: memory, diskBytes });
      } catch (error) {
        if (!(error instanceof UmbraError)) throw error;
      }
    }
    return found;
  }

  /** Gigabytes may have to be copied, and others copy the same: whoever is first has done it. */
  async #keep(image: Static<typeof Description>, folder: string, place: string): Promise<void> {
    if (existsSync(place)) return;
    const aside = `${place}.${randomUUID()}`;
    await mkdir(aside, { recursive: true });
    try {
      const files = [image.kernel, image.initrd, ...image.disks].map((file) => file.path);
      for (const file of ['image.json', ...files]) {
        await keepFile(join(folder, file), join(aside, file), image.name);
      }
      await rename(aside, place).catch(unlessThere);
    } finally {
      await rm(aside, { recursive: true, force: true });
    }
  }

  /** The VM that was being made of it is there, or will not be. */
  release(digest: string): void {
    const left = this.#held.get(digest)! - 1;
    if (left > 0) this.#held.set(digest, left);
    else this.#held.delete(digest);
  }

  /** The bytes are of use to no VM any more, unless one is being made of them. */
  unpin(digest: string): void {
    if (this.#held.has(digest)) return;
    rmSync(join(this.#pinned, digest), { recursive: true, force: true });
  }

  /** @returns the path of a file of an image, by the image's name or digest */
  file(image: string, path: string): string {
    const isDigest = digestPattern.test(image);
    const folder = join(isDigest ? this.#pinned : this.#built, image);
    if (!(isDigest || namePattern.test(image)) || !existsSync(folder)) throw this.#unknown(image);
    // Names without separators, from the folder's own list: nothing leads out of it.
    if (!readdirSync(folder).includes(path)) {
      throw new UmbraError(
        'image-file-unknown',
        `the image "${image}" has no file "${path}"`,
        'Read its image.json for what it has.',
      );
    }
    return join(folder, path);
  }

  #unknown(name: string): UmbraError {
    const found = existsSync(this.#built) ? readdirSync(this.#built) : [];
    const known = found.filter((each) => namePattern.test(each)).sort();
    const list = known.length === 0 ? 'there are none yet' : `there are ${known.join(', ')}`;
    return new UmbraError(
      'image-unknown',
      `there is no image "${name}" at the center (${list})`,
      `Build it on the center's machine: umbra image build ${namePattern.test(name) ? name : 'NAME'}.`,
    );
  }
}

function parse(name: string, text: string): Static<typeof Description> {
  try {
    const value: unknown = JSON.parse(text);
    if (description.Check(value)) return value;
  } catch {
    // Said below.
  }
  throw new UmbraError(
    'image-damaged',
    `the image "${name}" is damaged: its image.json is not one that this version understands`,
    `Build it again: umbra image build ${name}.`,
  );
}

/** Whoever else was first: a folder that is not empty is never replaced (rename(2)). */
function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
}

async function keepFile(from: string, to: string, name: string): Promise<void> {
  if (!existsSync(from)) {
    throw new UmbraError(
      'image-damaged',
      `the image "${name}" is damaged: ${from} is missing`,
      `Build it again: umbra image build ${name}.`,
    );
  }
  try {
    await link(from, to);
  } catch {
    // Another file system, or one without hard links.
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
}
