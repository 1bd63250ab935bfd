/** What is typed while hosts and viewers come and go arrives once, in order. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { ConsoleKeys } from '../api/console-messages.ts';
import { TypedBytes } from '../lockstep/typed-bytes.ts';
import { ConsoleTyping, type TypingTarget } from './console-typing.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

/** A live copy at the wire, counting as a real one does. */
class CopyAtWire {
  readonly #name: string;
  readonly #typed: TypedBytes;
  readonly #counts: boolean;
  #connection = {};
  /** What its machine was given. */
  got = '';
  /** Sent to it and not there yet. */
  readonly #underWay: (() => void)[] = [];

  constructor(name: string, typedBytes: number | undefined) {
    this.#name = name;
    this.#counts = typedBytes !== undefined;
    this.#typed = new TypedBytes(typedBytes ?? 0);
  }

  /** What has arrived is what it counts. */
  arrive(): void {
    for (const deliver of this.#underWay.splice(0)) deliver();
  }

  reconnect(): void {
    this.#underWay.length = 0;
    this.#connection = {};
  }

  as(role: 'live' | 'shadow'): TypingTarget {
    const { recorded } = this.#typed;
    return {
      connection: this.#connection,
      status: { process: this.#name, role, ...(this.#counts && { typedBytes: recorded }) },
      send: (bytes, at) =>
        this.#underWay.push(() => {
          const fresh = this.#typed.take(bytes, at);
          this.#typed.record(fresh.length, 0);
          this.got += text(fresh);
        }),
    };
  }
}

describe('typing', () => {
  let typing: ConsoleTyping;
  const type = (keys: string, target: TypingTarget | undefined) =>
    typing.type(Buffer.from(keys), target);

  beforeEach(() => {
    typing = new ConsoleTyping();
  });

  test('the copy that goes live gets what the lost one has not made safe', () => {
    const a = new CopyAtWire('a', 0);
    type('ab', a.as('live'));
    a.arrive();
    typing.look(a.as('live'));
    type('cd', a.as('live'));
    // The host dies with "cd" under way; its shadow has had "ab" and, by the log, "c".
    const b = new CopyAtWire('b', 3);
    type('e', undefined);
    type('f', b.as('shadow'));
    b.arrive();
    assert.equal(b.got, '', 'it is not live yet');
    typing.look(b.as('live'));
    type('g', b.as('live'));
    b.arrive();
    assert.equal(b.got, 'defg');
  });

  test('a connection that comes back is told again what it may not have heard', () => {
    const a = new CopyAtWire('a', 0);
    type('ab', a.as('live'));
    a.arrive();
    type('cd', a.as('live'));
    a.reconnect();
    typing.look(a.as('live'));
    a.arrive();
    assert.equal(a.got, 'abcd');
  });

  test('what was typed for another run is not typed into this one', () => {
    const a = new CopyAtWire('a', 0);
    type('ab', a.as('live'));
    typing.restart();
    const again = new CopyAtWire('b', 0);
    typing.look(again.as('live'));
    type('cd', again.as('live'));
    again.arrive();
    assert.equal(again.got, 'cd');
  });

  test('a copy that does not count gets everything once, as it comes', () => {
    const old = new CopyAtWire('a', undefined);
    type('ab', undefined);
    type('cd', old.as('live'));
    typing.look(old.as('live'));
    type('ef', old.as('live'));
    old.arrive();
    assert.equal(old.got, 'abcdef');
  });

  test('whatever breaks: each byte once', () => {
    const acts = [
      'type',
      'arrive',
      'status',
      'reconnect',
      'failOver',
      'lose',
      'viewerCut',
    ] as const;
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...acts), { maxLength: 60 }), (steps) => {
        typing = new ConsoleTyping();
        const keys = new ConsoleKeys('somebody');
        let live: CopyAtWire = new CopyAtWire('0', 0);
        let isThere = true;
        let got = '';
        let typed = '';
        let number = 0;
        const target = () => (isThere ? live.as('live') : undefined);
        const hear = (
          message: ReturnType<ConsoleKeys['type']> | undefined,
          isAnswered: boolean,
        ) => {
          if (message === undefined) return;
          const bytes = Buffer.from(message.bytes, 'base64');
          typing.type(typing.fresh(message.viewer!, bytes, message.at!), target());
          if (isAnswered) keys.taken({ upTo: message.at! + bytes.length });
        };
        const settle = () => {
          isThere = true;
          typing.look(target());
          live.arrive();
        };
        for (const step of steps) {
          if (step === 'type' || step === 'viewerCut') {
            const key = String.fromCharCode(97 + (typed.length % 26));
            typed += key;
            // A viewer whose connection breaks does not know what of it was heard.
            hear(keys.type(Buffer.from(key)), step === 'type');
            if (step === 'viewerCut') hear(keys.unanswered(), true);
          } else if (step === 'arrive') live.arrive();
          else if (step === 'status') typing.look(target());
          else if (step === 'reconnect') {
            live.reconnect();
            settle();
          } else if (step === 'lose') isThere = false;
          else {
            // The shadow has what the primary has made safe, and perhaps no more.
            got += live.got;
            number += 1;
            live = new CopyAtWire(String(number), got.length);
            settle();
          }
        }
        settle();
        assert.equal(got + live.got, typed);
      }),
    );
  });
});
