/** The names of a recording's files. */
const padded = (number: number): string => String(number).padStart(6, '0');

export const segmentName = (number: number): string => `log-${padded(number)}`;
export const snapshotName = (number: number): string => `snapshot-${padded(number)}`;
/** A snapshot that is being written; whatever is left of one is no part of the recording. */
export const unfinished = (name: string): string => `${name}.part`;

const numbered = (pattern: RegExp, names: readonly string[]): number[] =>
  names
    .flatMap((name) => pattern.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);

export const segmentNumbers = (names: readonly string[]): number[] =>
  numbered(/^log-(\d{6,})$/, names);
export const snapshotNumbers = (names: readonly string[]): number[] =>
  numbered(/^snapshot-(\d{6,})$/, names);
