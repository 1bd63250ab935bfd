/**
 * A network namespace with a TAP device whose frames go to a UNIX-domain socket: a real Linux TCP
 * stack as the gateway's guest, without a virtual machine. Needs root, /dev/net/tun, iproute2 and
 * python3; `missing` says what is not there. Everything is removed again, whatever happens.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const python = '/usr/bin/python3';
const here = import.meta.dirname;
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Why namespaces cannot be used on this machine, or undefined. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const path of ['/dev/net/tun', python]) {
    try {
      accessSync(path, constants.R_OK);
    } catch {
      return `needs ${path}`;
    }
  }
  try {
    execFileSync('ip', ['-V'], { stdio: 'ignore' });
  } catch {
    return 'needs ip (Debian package iproute2)';
  }
  return undefined;
}

export class Namespace {
  readonly name = `umbra-test-${process.pid}`;
  readonly folder = mkdtempSync(join(tmpdir(), 'umbra-network-'));
  readonly socket = join(this.folder, 'frames.sock');
  readonly #children = new Set<ChildProcess>();
  #closed = false;

  constructor() {
    process.on('exit', this.#onExit);
    for (const signal of endings) process.on(signal, this.#onSignal);
    execFileSync('ip', ['netns', 'add', this.name]);
    this.ip('link', 'set', 'lo', 'up');
  }

  readonly #onExit = (): void => this.close();
  /** A signal ends the process without `exit`; with it, it ends the way it would have. */
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.close();
    process.kill(process.pid, signal);
  };

  ip(...words: string[]): string {
    return execFileSync('ip', ['-n', this.name, ...words], { encoding: 'utf8' });
  }

  /** Makes the TAP device and joins it to the socket, on which somebody must listen already. */
  async join(mac: string): Promise<void> {
    await this.start([python, join(here, 'tap.py'), 'tap0', this.socket]);
    this.ip('link', 'set', 'tap0', 'address', mac, 'mtu', '1500', 'txqueuelen', '5000', 'up');
  }

  /** A process in the namespace that has said "ready". */
  async start(command: string[]): Promise<ChildProcess & { output: Promise<string> }> {
    const child = spawn('ip', ['netns', 'exec', this.name, ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#children.add(child);
    let text = '';
    const output = new Promise<string>((resolve) => {
      child.once('close', () => {
        this.#children.delete(child);
        resolve(text.replace('ready\n', ''));
      });
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout!.on('data', (chunk) => {
        text += chunk;
        if (text.includes('ready\n')) resolve();
      });
      child.once('close', () => reject(new Error(`ended before it was ready: ${text}`)));
    });
    return Object.assign(child, { output });
  }

  /** Runs a program to its end. @returns its standard output */
  run(...command: string[]): Promise<string> {
    const child = spawn('ip', ['netns', 'exec', this.name, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    let text = '';
    let errors = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    return new Promise((resolve, reject) => {
      child.once('close', (code) => {
        this.#children.delete(child);
        if (code === 0) resolve(text.trim());
        else reject(new Error(`${command.join(' ')} exited with ${code}: ${text}${errors}`));
      });
    });
  }

  guest(...words: string[]): Promise<string> {
    return this.run(python, join(here, 'guest.py'), ...words);
  }

  startGuest(...words: string[]): ReturnType<Namespace['start']> {
    return this.start([python, join(here, 'guest.py'), ...words]);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.off('exit', this.#onExit);
    for (const signal of endings) process.off(signal, this.#onSignal);
    for (const child of this.#children) child.kill('SIGKILL');
    execFileSync('ip', ['netns', 'del', this.name]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
