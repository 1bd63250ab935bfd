/**
 * Asks the arbiter over HTTPS with this host's certificate. Answers may fail to come: lockstep asks
 * again, with the same claim, until one does. With several centers, each ask goes to all of them,
 * which changes nothing but whom the answer waits for: it is the same claim.
 *
 * What the host must not forget passes through here, both ways, and is kept (knowledge-file.ts).
 */
import { Agent, request as httpsRequest } from 'node:https';
import { centerName } from '../../api/wire.ts';
import type { Ask, Reply } from '../../lockstep/arbiter.ts';
import type { ArbiterPort } from '../../lockstep/ports.ts';
import type { Trust } from '../trust.ts';
import type { KnowledgeFile } from './knowledge-file.ts';

export interface ArbiterAccess {
  urls: readonly string[];
  readonly trust: Trust;
}

const answerMsMax = 2_000;

export class ArbiterClient implements ArbiterPort {
  readonly #access: ArbiterAccess;
  #agent: Agent;
  readonly #known: KnowledgeFile;
  readonly #replied: (reply: Reply) => void;

  constructor(access: ArbiterAccess, known: KnowledgeFile, replied: (reply: Reply) => void) {
    this.#access = access;
    this.#known = known;
    this.#replied = replied;
    this.#agent = newAgent(access.trust);
  }

  /** There is a new certificate. What is being asked is still answered. */
  renew(): void {
    const former = this.#agent;
    this.#agent = newAgent(this.#access.trust);
    setTimeout(() => former.destroy(), 2 * answerMsMax).unref();
  }

  ask(ask: Ask): void {
    void this.#known.asking(ask).then((complete) => {
      if (complete === undefined) return;
      for (const url of this.#access.urls) this.#send(url, complete);
    });
  }

  /** The centers are there from now on. */
  moved(urls: readonly string[]): void {
    this.#access.urls = urls;
  }

  #send(url: string, ask: Ask): void {
    const body = JSON.stringify(ask);
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    };
    const options = { method: 'POST', agent: this.#agent, headers, timeout: answerMsMax };
    const call = httpsRequest(url, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        if (response.statusCode !== 200) return;
        const reply = parse(Buffer.concat(chunks).toString());
        if (reply !== undefined) void this.#receive(reply);
      });
      response.on('error', () => {});
    });
    call.on('timeout', () => call.destroy());
    // No answer is an answer that lockstep knows: it asks again.
    call.on('error', () => {});
    call.end(body);
  }

  async #receive(reply: Reply): Promise<void> {
    if (await this.#known.replied(reply)) this.#replied(reply);
  }

  close(): void {
    this.#agent.destroy();
  }
}

const newAgent = ({ mutual }: Trust): Agent =>
  new Agent({ ...mutual, keepAlive: true, servername: centerName });

function parse(text: string): Reply | undefined {
  try {
    const reply = JSON.parse(text) as Reply;
    return typeof reply.claimId === 'string' && typeof reply.granted === 'boolean'
      ? reply
      : undefined;
  } catch {
    return undefined;
  }
}
