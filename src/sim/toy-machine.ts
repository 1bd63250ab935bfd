/**
 * A small deterministic machine for the simulator: a server that keeps one record per client on a
 * disk, and mixes everything that happens to it, with its exact count and clock, into one state.
 *
 * From: frames (requests), completions, clock samples, keys, entropy, control. To: replies, console
 * lines, disk requests, entropy requests. Every reply and console line carries a digest of the whole
 * history, so that two executions which differed anywhere can never again say the same.
 *
 * Like a real machine it changes state only by advancing its count: taking a timer costs one count.
 * A request is read, modify, write, flush, reply; what is read back must be what was written.
 */
import { assert } from '../base/assert.ts';
import { ByteReader, ByteWriter, MalformedBytes } from '../base/bytes.ts';
import { hash64 } from '../base/hash64.ts';
import type { DiskRequest, Input, Output, Ticks } from '../machine/effects.ts';
import type {
  Checkpoint,
  CheckpointSeries,
  Machine,
  MachineMaker,
  Restore,
  Stop,
} from '../machine/machine.ts';

export const sectorBytes = 512;
const pageBytes = 256;
const pages = 32;

/** What a client and the server say to each other, as the payload of a frame. */
export interface Request {
  readonly client: number;
  readonly sequence: number;
}

export interface Answer extends Request {
  readonly verdict: 'done' | 'lost-work' | 'bad-disk';
  /** Digest of everything that had happened to the machine when it served the request. */
  readonly history: bigint;
}

const verdicts = ['done', 'lost-work', 'bad-disk'] as const;

const requestBytes = 5;
/** What a network card passes on at least: an Ethernet header. */
const frameBytesMin = 14;

export function encodeRequest({ client, sequence }: Request): Uint8Array {
  const padding = new Uint8Array(frameBytesMin - requestBytes);
  return new ByteWriter(16).u8(client).u32(sequence).raw(padding).finish();
}

export function encodeAnswer({ client, sequence, verdict, history }: Answer): Uint8Array {
  const writer = new ByteWriter(16).u8(client).u32(sequence);
  return writer.u8(verdicts.indexOf(verdict)).u64(history).finish();
}

export function decodeAnswer(bytes: Uint8Array): Answer {
  const reader = new ByteReader(bytes);
  const client = reader.u8();
  const sequence = reader.u32();
  return { client, sequence, verdict: verdicts[reader.u8()]!, history: reader.u64() };
}

/** One client's record, in memory and on its sector of its disk. */
interface Row {
  sequence: number;
  history: bigint;
  /** Times written since the disk was made. */
  version: number;
  /** Whether memory knows the sector; what is read must then be equal. */
  loaded: boolean;
  /** What the row is doing: a disk request of this stage is under way, or nothing. */
  stage: Stage;
  pending: number;
  wanted: number;
}

const stages = ['free', 'queued', 'reading', 'modifying', 'writing', 'flushing'] as const;
type Stage = (typeof stages)[number];

/** Work for the processor: so many counts, then an effect. */
interface Task {
  readonly kind: 'request' | 'modify' | 'burn' | 'off';
  readonly client: number;
  left: number;
}

const taskKinds = ['request', 'modify', 'burn', 'off'] as const;

export interface ToyConfiguration {
  readonly clients: number;
  readonly disks: number;
  /** Ticks between two timer interrupts. */
  readonly period: number;
  /** Counts of a burst of computing that some interrupts start. */
  readonly burst: number;
}

export class ToyMachine implements Machine {
  readonly #configuration: ToyConfiguration;
  #count = 0n;
  #clock = { count: 0n, time: 0n, rate: 1, span: 0 };
  #state = 0x9e3779b97f4a7c15n;
  #rows: Row[];
  #tasks: Task[] = [];
  #wake: Ticks | undefined = 0n;
  #interrupts = 0;
  #consoleOffset = 0n;
  #entropyAsked = 0;
  #nextRequest: number[];
  #pending: DiskRequest[] = [];
  #off = false;
  #ram = Array.from({ length: pages }, () => new Uint8Array(pageBytes));
  #outputs: Output[] = [];
  #checkpoints: ToyCheckpoint[] = [];

  constructor(configuration: ToyConfiguration) {
    this.#configuration = configuration;
    this.#rows = Array.from({ length: configuration.clients }, newRow);
    this.#nextRequest = Array.from({ length: configuration.disks }, () => 0);
  }

  get count(): bigint {
    return this.#count;
  }

  get time(): Ticks {
    const { count, time, rate, span } = this.#clock;
    return time + ticksAfter(this.#count - count, rate, span);
  }

  get wakeTime(): Ticks | undefined {
    return this.#wake;
  }

  /** It takes its timer as soon as it is due. */
  get unservedTimer(): undefined {
    return undefined;
  }

  run(until: bigint): Stop {
    while (this.#count < until && !this.#off) {
      if (this.#wake !== undefined && this.time >= this.#wake) {
        this.#count++;
        this.#interrupt();
        continue;
      }
      const task = this.#tasks[0];
      if (task === undefined) return 'idle';
      let steps = BigInt(task.left);
      if (until - this.#count < steps) steps = until - this.#count;
      const timer = this.#countsToTimer();
      if (timer !== undefined && timer < steps) steps = timer;
      this.#count += steps;
      task.left -= Number(steps);
      if (task.left === 0) {
        this.#tasks.shift();
        this.#finish(task);
      }
    }
    return this.#off ? 'off' : 'budget';
  }

  apply(input: Input): void {
    switch (input.kind) {
      case 'clock': {
        assert(input.time >= this.time, 'the clock ran backwards');
        this.#clock = { ...input, count: this.#count };
        return this.#mix(1n, input.time);
      }
      case 'frame':
        this.#mixBytes(2n, input.frame.subarray(0, requestBytes));
        return this.#request(input.frame);
      case 'disk':
        return this.#diskDone(input.disk, input.request, input.ok, input.data);
      case 'console':
        this.#mixBytes(4n, input.bytes);
        return this.#print(`key ${input.bytes.length}`);
      case 'entropy':
        this.#entropyAsked--;
        return this.#mixBytes(5n, input.bytes);
      case 'control':
        this.#mix(6n, BigInt(input.action.length));
        if (input.action === 'reset') return this.#reset();
        if (input.action === 'power-button') {
          this.#tasks.push({ kind: 'off', client: 0, left: 5000 });
        } else this.#powerOff();
        return;
    }
  }

  takeOutputs(): Output[] {
    const outputs = this.#outputs;
    this.#outputs = [];
    return outputs;
  }

  takesSegments(): boolean {
    return false;
  }

  pendingDiskRequests(): DiskRequest[] {
    return [...this.#pending];
  }

  awaitsDiskRequest(disk: number, request: number): boolean {
    return this.#pending.some((one) => one.disk === disk && one.request === request);
  }

  fingerprint(): bigint {
    let sum = hash64(this.#save());
    for (const page of this.#ram) sum = (sum * 31n + hash64(page)) & mask64;
    return sum;
  }

  checkpoint(): Checkpoint {
    const checkpoint = new ToyCheckpoint(this.#count, this.#save(), this.#ram);
    this.#checkpoints = [...this.#checkpoints.filter(({ done }) => !done), checkpoint];
    return checkpoint;
  }

  checkpointSeries(): CheckpointSeries {
    return { next: () => this.checkpoint(), end: () => {} };
  }

  // --- what the program does -----------------------------------------------------------------

  #interrupt(): void {
    this.#interrupts++;
    this.#mix(7n, this.time);
    this.#wake = this.time + BigInt(this.#configuration.period);
    this.#store(this.#interrupts % pages, this.#state);
    const choice = Number(this.#state & 15n);
    if (choice < 3) this.#print(`tick ${this.#interrupts}`);
    else if (choice < 5) this.#output({ kind: 'entropy', length: 8 });
    else if (choice < 8 && this.#tasks.length < 4) {
      this.#tasks.push({ kind: 'burn', client: 0, left: this.#configuration.burst });
    }
  }

  #request(frame: Uint8Array): void {
    if (frame.length !== frameBytesMin) return;
    const reader = new ByteReader(frame);
    const client = reader.u8();
    const sequence = reader.u32();
    const row = this.#rows[client];
    if (row === undefined || row.stage !== 'free') return;
    row.stage = 'queued';
    row.wanted = sequence;
    this.#tasks.push({ kind: 'request', client, left: 200 + Number(this.#state & 4095n) });
  }

  #finish(task: Task): void {
    this.#mix(8n, BigInt(task.client));
    const row = this.#rows[task.client]!;
    switch (task.kind) {
      case 'request':
        row.stage = 'reading';
        return this.#disk(task.client, 'read', new Uint8Array(0));
      case 'modify':
        row.sequence = row.wanted;
        row.history = this.#state;
        row.version++;
        row.stage = 'writing';
        this.#store(task.client % pages, row.history);
        return this.#disk(task.client, 'write', encodeRow(row));
      case 'burn':
        return;
      case 'off':
        return this.#powerOff();
    }
  }

  #diskDone(disk: number, request: number, ok: boolean, data: Uint8Array): void {
    const index = this.#pending.findIndex((one) => one.disk === disk && one.request === request);
    this.#mix(3n, BigInt(request));
    this.#mixBytes(3n, data);
    if (index < 0) return;
    this.#pending.splice(index, 1);
    const client = this.#rows.findIndex(
      (row, at) => row.pending === request && at % this.#configuration.disks === disk,
    );
    const row = this.#rows[client];
    if (row === undefined) return;
    row.pending = -1;
    if (!ok) {
      // The request fails without an answer; the client comes again.
      row.loaded = false;
      row.stage = 'free';
      return this.#print(`disk error ${disk}`);
    }
    if (row.stage === 'reading') this.#haveRead(client, row, data);
    else if (row.stage === 'writing') {
      row.stage = 'flushing';
      this.#disk(client, 'flush', new Uint8Array(0));
    } else if (row.stage === 'flushing') {
      row.stage = 'free';
      this.#answer(client, row.sequence, 'done', row.history);
    }
  }

  #haveRead(client: number, row: Row, data: Uint8Array): void {
    const found = decodeRow(data);
    const same = found.version === row.version && found.history === row.history;
    if (row.loaded && !same) {
      row.stage = 'free';
      return this.#answer(client, row.wanted, 'bad-disk', this.#state);
    }
    Object.assign(row, { ...found, loaded: true });
    if (row.wanted === row.sequence + 1) {
      row.stage = 'modifying';
      this.#tasks.push({ kind: 'modify', client, left: 100 + Number(this.#state & 1023n) });
      return;
    }
    if (row.wanted === row.sequence) {
      // Written, but perhaps not flushed: a flush may have failed, or a predecessor have died.
      row.stage = 'flushing';
      return this.#disk(client, 'flush', new Uint8Array(0));
    }
    row.stage = 'free';
    if (row.wanted > row.sequence) this.#answer(client, row.wanted, 'lost-work', this.#state);
  }

  #disk(client: number, action: 'read' | 'write' | 'flush', data: Uint8Array): void {
    const disk = client % this.#configuration.disks;
    const request = this.#nextRequest[disk]!++;
    this.#rows[client]!.pending = request;
    const offset = action === 'flush' ? 0 : client * sectorBytes;
    const length = action === 'flush' ? 0 : sectorBytes;
    const made: DiskRequest = { disk, request, action, offset, length, data };
    this.#pending.push(made);
    this.#output({ kind: 'disk', request: made });
  }

  #answer(client: number, sequence: number, verdict: Answer['verdict'], history: bigint): void {
    const frame = encodeAnswer({ client, sequence, verdict, history });
    this.#output({ kind: 'frame', port: 0, frame, segmentBytes: 0 });
  }

  #print(text: string): void {
    const line = `${text} ${this.#state.toString(36)}\n`;
    const bytes = new TextEncoder().encode(line);
    this.#output({ kind: 'console', offset: this.#consoleOffset, bytes });
    this.#consoleOffset += BigInt(bytes.length);
  }

  #reset(): void {
    this.#tasks = [];
    this.#pending = [];
    this.#rows = this.#rows.map(newRow);
    this.#wake = this.time;
    this.#print('reset');
  }

  #powerOff(): void {
    this.#off = true;
    this.#tasks = [];
    this.#output({ kind: 'power', action: 'off' });
  }

  // --- state ---------------------------------------------------------------------------------

  #output(output: DistributiveOmit<Output, 'count'>): void {
    if (output.kind === 'entropy') this.#entropyAsked++;
    this.#outputs.push({ ...output, count: this.#count } as Output);
  }

  #mix(kind: bigint, value: bigint): void {
    const mixed = (this.#state ^ (kind << 56n) ^ this.#count) * 0x2545f4914f6cdd1dn + value;
    this.#state = (mixed ^ ((mixed & mask64) >> 29n)) & mask64;
  }

  #mixBytes(kind: bigint, bytes: Uint8Array): void {
    this.#mix(kind, hash64(bytes));
  }

  #store(page: number, value: bigint): void {
    for (const checkpoint of this.#checkpoints) checkpoint.setAside(page);
    const bytes = this.#ram[page]!;
    new DataView(bytes.buffer).setBigUint64(Number(value & 31n) * 8, value, true);
  }

  #countsToTimer(): bigint | undefined {
    if (this.#wake === undefined) return undefined;
    const { count, time, rate, span } = this.#clock;
    const after = countsUntil(this.#wake - time, rate, span);
    return count + after - this.#count;
  }

  /** Everything but RAM. Twin of `load`. */
  #save(): Uint8Array {
    const writer = new ByteWriter(512);
    writer.u64(this.#count).u64(this.#clock.count).u64(this.#clock.time);
    writer.u32(this.#clock.rate).u32(this.#clock.span).u64(this.#state);
    writer.bool(this.#wake !== undefined).u64(this.#wake ?? 0n);
    writer.varint(this.#interrupts).u64(this.#consoleOffset).varint(this.#entropyAsked);
    writer.bool(this.#off);
    for (const row of this.#rows) {
      writer.u32(row.sequence).u64(row.history).varint(row.version).bool(row.loaded);
      writer
        .u8(stages.indexOf(row.stage))
        .varint(row.pending + 1)
        .u32(row.wanted);
    }
    for (const next of this.#nextRequest) writer.varint(next);
    writer.varint(this.#tasks.length);
    for (const { kind, client, left } of this.#tasks) {
      writer.u8(taskKinds.indexOf(kind)).u8(client).varint(left);
    }
    writer.varint(this.#pending.length);
    for (const { disk, request, action, offset, length, data } of this.#pending) {
      writer.u8(disk).varint(request).text(action).varint(offset).varint(length).bytes(data);
    }
    return writer.finish();
  }

  load(state: Uint8Array, ram: readonly Uint8Array[]): void {
    const reader = new ByteReader(state);
    this.#count = reader.u64();
    const [count, time] = [reader.u64(), reader.u64()];
    this.#clock = { count, time, rate: reader.u32(), span: reader.u32() };
    this.#state = reader.u64();
    const armed = reader.bool();
    const wake = reader.u64();
    this.#wake = armed ? wake : undefined;
    this.#interrupts = reader.varint();
    this.#consoleOffset = reader.u64();
    this.#entropyAsked = reader.varint();
    this.#off = reader.bool();
    for (const row of this.#rows) {
      row.sequence = reader.u32();
      row.history = reader.u64();
      row.version = reader.varint();
      row.loaded = reader.bool();
      row.stage = stages[reader.u8()]!;
      row.pending = reader.varint() - 1;
      row.wanted = reader.u32();
    }
    this.#nextRequest = this.#nextRequest.map(() => reader.varint());
    this.#tasks = Array.from({ length: reader.varint() }, () => {
      const kind = taskKinds[reader.u8()]!;
      return { kind, client: reader.u8(), left: reader.varint() };
    });
    this.#pending = Array.from({ length: reader.varint() }, () => {
      const disk = reader.u8();
      const request = reader.varint();
      const action = reader.text() as DiskRequest['action'];
      const [offset, length] = [reader.varint(), reader.varint()];
      return { disk, request, action, offset, length, data: reader.bytes() };
    });
    reader.end();
    this.#ram = ram.map((page) => page.slice());
  }
}

/** Registers first, then the pages; a page about to change is set aside. */
class ToyCheckpoint implements Checkpoint {
  readonly count: bigint;
  readonly #live: readonly Uint8Array[];
  readonly #aside = new Map<number, Uint8Array>();
  #state: Uint8Array | undefined;
  #page = 0;

  constructor(count: bigint, state: Uint8Array, live: readonly Uint8Array[]) {
    this.count = count;
    this.#state = state;
    this.#live = live;
  }

  get done(): boolean {
    return this.#page >= pages;
  }

  get bytesLeft(): number {
    return (this.#state?.length ?? 0) + (pages - this.#page) * pageBytes;
  }

  setAside(page: number): void {
    if (this.done || page < this.#page || this.#aside.has(page)) return;
    this.#aside.set(page, this.#live[page]!.slice());
  }

  next(_bytesMax: number): Uint8Array | undefined {
    if (this.#state !== undefined) {
      const chunk = new ByteWriter().u8(0xff).raw(this.#state).finish();
      this.#state = undefined;
      return chunk;
    }
    if (this.done) return undefined;
    const writer = new ByteWriter(4 * pageBytes + 2).u8(this.#page);
    for (let sent = 0; sent < 4 && !this.done; sent++, this.#page++) {
      writer.raw(this.#aside.get(this.#page) ?? this.#live[this.#page]!);
    }
    return writer.finish();
  }

  cancel(): void {
    this.#page = pages;
  }
}

class ToyRestore implements Restore {
  readonly #machine: ToyMachine;
  #state: Uint8Array | undefined;
  readonly #pages: Uint8Array[] = [];

  constructor(machine: ToyMachine) {
    this.#machine = machine;
  }

  add(chunk: Uint8Array): void {
    const reader = new ByteReader(chunk);
    const first = reader.u8();
    if (first === 0xff) {
      this.#state = reader.raw(reader.remaining);
      return;
    }
    if (first !== this.#pages.length) throw new MalformedBytes(`page ${first} out of turn`);
    while (reader.remaining > 0) this.#pages.push(reader.raw(pageBytes));
  }

  finish(): Machine {
    if (this.#state === undefined || this.#pages.length !== pages) {
      throw new MalformedBytes('a checkpoint with holes');
    }
    this.#machine.load(this.#state, this.#pages);
    return this.#machine;
  }
}

export class ToyMaker implements MachineMaker {
  readonly configuration: Uint8Array;
  readonly #toy: ToyConfiguration;

  constructor(toy: ToyConfiguration) {
    this.#toy = toy;
    this.configuration = new TextEncoder().encode(JSON.stringify(toy));
  }

  powerOn(): Machine {
    return new ToyMachine(this.#toy);
  }

  restore(): Restore {
    return new ToyRestore(new ToyMachine(this.#toy));
  }
}

type DistributiveOmit<T, K extends keyof never> = T extends unknown ? Omit<T, K> : never;

const mask64 = (1n << 64n) - 1n;

function newRow(): Row {
  return {
    sequence: 0,
    history: 0n,
    version: 0,
    loaded: false,
    stage: 'free',
    pending: -1,
    wanted: 0,
  };
}

function encodeRow({ sequence, history, version }: Row): Uint8Array {
  const sector = new Uint8Array(sectorBytes);
  sector.set(new ByteWriter(32).u32(sequence).u64(history).u32(version).finish());
  return sector;
}

function decodeRow(sector: Uint8Array): { sequence: number; history: bigint; version: number } {
  const reader = new ByteReader(sector);
  return { sequence: reader.u32(), history: reader.u64(), version: reader.u32() };
}

/** Ticks after so many counts: `rate` within the span, a sixteenth of it beyond. */
function ticksAfter(counts: bigint, rate: number, span: number): bigint {
  const inside = counts < BigInt(span) ? counts : BigInt(span);
  return ((inside * 16n + (counts - inside)) * BigInt(rate)) >> 28n;
}

/** Inverse: the least number of counts after which at least so many ticks have passed. */
function countsUntil(ticks: bigint, rate: number, span: number): bigint {
  if (ticks <= 0n) return 0n;
  const sixteenths = ((ticks << 28n) + BigInt(rate) - 1n) / BigInt(rate);
  const limit = 16n * BigInt(span);
  return sixteenths <= limit ? (sixteenths + 15n) / 16n : BigInt(span) + sixteenths - limit;
}
