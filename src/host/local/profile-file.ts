/**
 * The file of a profile, in speedscope's format (https://www.speedscope.app/file-format-schema.json):
 * one profile of kind `sampled`, its samples in the order of time.
 */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { UmbraError } from '../../base/errors.ts';
import type { Profile } from './profile.ts';

export interface SpeedscopeDocument {
  readonly $schema: 'https://www.speedscope.app/file-format-schema.json';
  readonly name: string;
  readonly exporter: string;
  readonly activeProfileIndex: number;
  readonly shared: { readonly frames: readonly { readonly name: string }[] };
  readonly profiles: readonly {
    readonly type: 'sampled';
    readonly name: string;
    readonly unit: 'microseconds';
    readonly startValue: number;
    readonly endValue: number;
    /** Each the indices of its frames, the outermost first. */
    readonly samples: readonly (readonly number[])[];
    readonly weights: readonly number[];
  }[];
}

export function speedscopeDocument(
  { paths, samples, weights }: Pick<Profile, 'paths' | 'samples' | 'weights'>,
  name: string,
): SpeedscopeDocument {
  const frames = new Map<string, number>();
  const stacks = paths.map((path) =>
    path.map((frame) => {
      const index = frames.get(frame) ?? frames.size;
      frames.set(frame, index);
      return index;
    }),
  );
  const rounded = weights.map((micros) => Math.round(micros * 10) / 10);
  return {
    $schema: 'https://www.speedscope.app/file-format-schema.json',
    name,
    exporter: 'umbra',
    activeProfileIndex: 0,
    shared: { frames: [...frames.keys()].map((frame) => ({ name: frame })) },
    profiles: [
      {
        type: 'sampled',
        name,
        unit: 'microseconds',
        startValue: 0,
        endValue: Math.ceil(rounded.reduce((sum, micros) => sum + micros, 0)),
        samples: samples.map((index) => stacks[index]!),
        weights: rounded,
      },
    ],
  };
}

/** Open from the start, so that nobody runs a machine for an hour and then has no file. */
export class ProfileFile {
  readonly #path: string;
  readonly #file: number;

  constructor(path: string) {
    this.#path = path;
    this.#file = this.#attempt(() => openSync(path, 'w'));
  }

  /** Once: the file is complete then. */
  write(profile: Profile, name: string): void {
    const document = JSON.stringify(speedscopeDocument(profile, name));
    this.#attempt(() => {
      writeFileSync(this.#file, document);
      closeSync(this.#file);
    });
  }

  #attempt<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? String(error);
      throw new UmbraError(
        'profile-unwritable',
        `The profile ${this.#path} cannot be written (${code}).`,
        code === 'ENOSPC' ? 'Free some space or write it elsewhere.' : 'Name another file.',
        { cause: error },
      );
    }
  }
}
