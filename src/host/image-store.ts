/**
 * The images that this host can boot: by digest, so that both copies of a VM boot the same bytes.
 *
 * An image is taken where it is already (a local build with the same digest), or fetched from the
 * center into `<data>/images/<digest>/`. Invariant: a folder under a digest's name is whole: it is
 * filled under a hidden name, every file checked against the hash in `image.json` and that against
 * the digest, and then renamed. Once in a daemon's life each image is read and checked again.
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { UmbraError } from '../base/errors.ts';
import { sha256File } from '../images/cache.ts';
import { type ImageDescription, type ImageFile, imagesFolder } from '../images/image.ts';

const DESCRIPTION = 'image.json';
const DESCRIPTION_BYTES_MAX = 1 << 20;
const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
const digestPattern = /^[0-9a-f]{64}$/;
/** Files lie beside their description; what a center says never leaves the folder. */
const filePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$/;

/** Where the bytes of an image come from: a GET at the center, which keeps images by digest too. */
export type FetchImageFile = (digest: string, file: string) => Promise<AsyncIterable<Uint8Array>>;

export class ImageStore {
  readonly #folder: string;
  readonly #localImages: string;
  readonly #fetch: FetchImageFile;
  readonly #ready = new Map<string, Promise<string>>();

  /** @param home where local builds are (UMBRA_HOME) */
  constructor(dataDirectory: string, home: string, fetch: FetchImageFile) {
    this.#folder = join(dataDirectory, 'images');
    this.#localImages = imagesFolder(home);
    this.#fetch = fetch;
  }

  /** Forgets what an earlier daemon left half done. */
  async open(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#folder)) {
      if (name.startsWith('.')) await rm(join(this.#folder, name), { recursive: true });
    }
  }

  /** The folder of this image, verified. Those who ask at the same time wait for one answer. */
  find(name: string, digest: string): Promise<string> {
    let answer = this.#ready.get(digest);
    if (answer === undefined) {
      answer = this.#find(name, digest);
      this.#ready.set(digest, answer);
      answer.catch(() => this.#ready.delete(digest));
    }
    return answer;
  }

  async #find(name: string, digest: string): Promise<string> {
    if (!namePattern.test(name) || !digestPattern.test(digest)) {
      throw damaged(name, 'its name or digest is malformed');
    }
    const own = join(this.#folder, digest);
    for (const folder of [own, join(this.#localImages, name)]) {
      if ((await damageOf(folder, digest)) === undefined) return folder;
    }
    await rm(own, { recursive: true, force: true });
    const aside = join(this.#folder, `.${digest}`);
    await rm(aside, { recursive: true, force: true });
    await mkdir(aside, { mode: 0o700 });
    try {
      await this.#fill(aside, name, digest);
      await rename(aside, own);
    } catch (error) {
      await rm(aside, { recursive: true, force: true });
      throw error;
    }
    return own;
  }

  async #fill(folder: string, name: string, digest: string): Promise<void> {
    const text = await readLimited(await this.#fetch(digest, DESCRIPTION));
    const description = parseDescription(text, digest);
    if (description === undefined) {
      throw new UmbraError(
        'image-changed',
        `the center's image "${name}" is not the one that the VM was made from`,
        'Build that image again at the center, or make the VM anew from the image that is there.',
      );
    }
    await writeFile(join(folder, DESCRIPTION), text);
    for (const file of filesOf(description)) {
      const source = await this.#fetch(digest, file.path);
      const target = createWriteStream(join(folder, file.path), { flags: 'wx', flush: true });
      await pipeline(source, (bytes) => exactly(bytes, file, name), target);
    }
  }
}

/** Passes on the bytes of a file and sees that they are the ones described. */
async function* exactly(
  source: AsyncIterable<Uint8Array>,
  file: ImageFile,
  name: string,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const chunk of source) {
    length += chunk.length;
    if (length > file.bytes) throw damaged(name, `${file.path} is longer than described`);
    hash.update(chunk);
    yield chunk;
  }
  if (length !== file.bytes || hash.digest('hex') !== file.sha256) {
    throw damaged(name, `${file.path} is not the file that was described`);
  }
}

async function readLimited(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of source) {
    length += chunk.length;
    if (length > DESCRIPTION_BYTES_MAX) throw damaged(DESCRIPTION, 'its description has no end');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** @returns undefined if these are not the bytes of that digest, or describe no usable image */
function parseDescription(text: Uint8Array, digest: string): ImageDescription | undefined {
  if (createHash('sha256').update(text).digest('hex') !== digest) return undefined;
  const description = JSON.parse(Buffer.from(text).toString('utf8')) as ImageDescription;
  if (description.format !== 1) return undefined;
  return filesOf(description).every(({ path }) => filePattern.test(path)) ? description : undefined;
}

const filesOf = ({ kernel, initrd, disks }: ImageDescription): ImageFile[] => [
  kernel,
  initrd,
  ...disks,
];

/** What is wrong with the image in this folder, or undefined. */
async function damageOf(folder: string, digest: string): Promise<string | undefined> {
  try {
    const description = parseDescription(await readFile(join(folder, DESCRIPTION)), digest);
    if (description === undefined) return 'another image';
    for (const file of filesOf(description)) {
      const path = join(folder, file.path);
      if ((await stat(path)).size !== file.bytes) return `${file.path} has another length`;
      if ((await sha256File(path)) !== file.sha256) return `${file.path} has another hash`;
    }
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function damaged(name: string, why: string): UmbraError {
  return new UmbraError(
    'image-damaged',
    `the center's image "${name}" is damaged: ${why}`,
    `Build it again on the center's machine: umbra image build ${namePattern.test(name) ? name : 'NAME'}.`,
  );
}
