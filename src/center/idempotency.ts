/**
 * `Idempotency-Key`: a call that creates something may be sent again when its reply was lost, and
 * gives the reply of the first time instead of a second thing.
 *
 * Keys belong to the credential that sent them and to the endpoint, and are good for a day. Replies
 * may hold secrets, so they are kept sealed with a key that only the caller can make again: from
 * the caller's own secret (AES-256-GCM, key by HKDF). Only what has succeeded is kept: what was
 * refused may be tried again. A center that dies between the act and the note of its reply answers
 * the second call by how things are then, such as `name-taken`.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { UmbraError } from '../base/errors.ts';
import type { Person } from './people/people.ts';
import { expiryAfter, hasPassed } from './people/secrets.ts';
import type { Store } from './store/store.ts';

const keptSeconds = 24 * 60 * 60;
const purgeMs = 60_000;

interface KeptReply {
  readonly key: string;
  readonly request: string;
  /** Nonce, tag and ciphertext of the reply's JSON, base64. */
  readonly sealed: string;
  readonly expires: string;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

export class Idempotency {
  readonly #store: Store;
  /** Calls that are under way, with what they ask for. */
  readonly #pending = new Map<string, { request: string; reply: Promise<unknown> }>();
  #purgedAt = Number.NEGATIVE_INFINITY;

  constructor(store: Store) {
    this.#store = store;
  }

  /** @returns the reply of `act`, or the one of the first time */
  async once(
    person: Person,
    endpoint: string,
    header: string,
    body: unknown,
    act: () => Promise<unknown>,
  ): Promise<{ reply: unknown; isReplayed: boolean }> {
    if (!/^[\x21-\x7e]{1,255}$/.test(header)) {
      const why = 'the request is malformed: Idempotency-Key takes 1 to 255 visible characters';
      throw new UmbraError('request-malformed', why, 'Send a new random UUID for each creation.');
    }
    const { credential } = person;
    const id = credential.kind === 'token' ? credential.token.id : credential.session.id;
    const key = sha256(JSON.stringify([id, endpoint, header]));
    const request = sha256(canonical(body));
    const kept = this.#kept(key) ?? this.#pending.get(key);
    if (kept !== undefined && kept.request !== request) throw reused();
    if (kept !== undefined && 'sealed' in kept) {
      return { reply: unseal(kept.sealed, person.secret, key), isReplayed: true };
    }
    if (kept !== undefined) return { reply: await kept.reply, isReplayed: true };
    const reply = act().then((value) => {
      const sealed = seal(value, person.secret, key);
      this.#put({ key, request, sealed, expires: expiryAfter(keptSeconds) });
      return value;
    });
    this.#pending.set(key, { request, reply });
    try {
      return { reply: await reply, isReplayed: false };
    } finally {
      this.#pending.delete(key);
    }
  }

  #kept(key: string): KeptReply | undefined {
    const kept = this.#store.get<KeptReply>('replies', key);
    return kept === undefined || hasPassed(kept.expires) ? undefined : kept;
  }

  #put(reply: KeptReply): void {
    this.#store.transaction(() => {
      if (performance.now() - this.#purgedAt > purgeMs) {
        this.#purgedAt = performance.now();
        for (const { key, expires } of this.#store.all<KeptReply>('replies')) {
          if (hasPassed(expires)) this.#store.remove('replies', key);
        }
      }
      this.#store.put('replies', reply.key, reply);
    });
  }
}

/** The same value gives the same text, in whatever order its members came. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_, each: unknown) =>
      typeof each === 'object' && each !== null && !Array.isArray(each)
        ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
        : each,
    ) ?? ''
  );
}

function sealingKey(secret: string, key: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, key, 'umbra kept reply', 32));
}

function seal(value: unknown, secret: string, key: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', sealingKey(secret, key), nonce);
  const text = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64');
}

function unseal(sealed: string, secret: string, key: string): unknown {
  const bytes = Buffer.from(sealed, 'base64');
  const decipher = createDecipheriv(
    'aes-256-gcm',
    sealingKey(secret, key),
    bytes.subarray(0, 12),
  ).setAuthTag(bytes.subarray(12, 28));
  const text = Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]);
  return JSON.parse(text.toString('utf8'));
}

function reused(): UmbraError {
  return new UmbraError(
    'idempotency-key-reused',
    'this Idempotency-Key came with another request before',
    'Send a new key with a new request.',
  );
}
