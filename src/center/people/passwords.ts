/**
 * Passwords at rest: argon2id (RFC 9106) with the parameters that OWASP names for servers, written
 * as a PHC string, so that they can be raised later. One is computed at a time: it takes 19 MiB and
 * some tens of milliseconds, and must not be a way to use up the center.
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { assert } from '../../base/assert.ts';
import { UmbraError } from '../../base/errors.ts';

interface Parameters {
  /** KiB */
  readonly memory: number;
  readonly passes: number;
}

const present: Parameters = { memory: 19 * 1024, passes: 2 };
const tagLength = 32;
const waitingMax = 16;

let waiting = 0;
let last: Promise<unknown> = Promise.resolve();

/** @throws UmbraError login-throttled where too many wait already */
function compute(password: string, nonce: Buffer, { memory, passes }: Parameters): Promise<Buffer> {
  if (waiting >= waitingMax) {
    const why = 'too many passwords are being checked at this moment';
    throw new UmbraError('login-throttled', why, 'Try again in a few seconds.');
  }
  waiting += 1;
  const own = last.then(
    () =>
      new Promise<Buffer>((resolve, reject) => {
        const message = Buffer.from(password.normalize('NFKC'));
        const options = { message, nonce, parallelism: 1, tagLength, memory, passes };
        argon2('argon2id', options, (error, tag) => (error ? reject(error) : resolve(tag)));
      }),
  );
  last = own
    .catch(() => {})
    .finally(() => {
      waiting -= 1;
    });
  return own;
}

const base64 = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const tag = await compute(password, salt, present);
  const { memory, passes } = present;
  return `$argon2id$v=19$m=${memory},t=${passes},p=1$${base64(salt)}$${base64(tag)}`;
}

/** Nobody's: so that an unknown user takes as long as a known one. */
const nobody = `$argon2id$v=19$m=${present.memory},t=${present.passes},p=1$${base64(randomBytes(16))}$${base64(randomBytes(tagLength))}`;

/** @param hash undefined: false, but not sooner */
export async function checkPassword(hash: string | undefined, password: string): Promise<boolean> {
  const match = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=1\$([\w+/]+)\$([\w+/]+)$/.exec(
    hash ?? nobody,
  );
  assert(match !== null, 'a hash of a password in a form that was never written');
  const expected = Buffer.from(match[4]!, 'base64');
  const parameters = { memory: Number(match[1]), passes: Number(match[2]) };
  const tag = await compute(password, Buffer.from(match[3]!, 'base64'), parameters);
  return timingSafeEqual(tag, expected) && hash !== undefined;
}
