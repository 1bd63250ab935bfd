/** Quantities as people read them. Numbers are in tabular figures, so columns stay in line. */

const whole = new Intl.NumberFormat('en');

export const mebibyte = 2 ** 20;

/** Binary units, three digits. @param bytes null: not known */
export function bytes(value: number | null | undefined): string {
  if (value == null) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  let rest = value;
  while (rest >= 1024 && at < units.length - 1) {
    rest /= 1024;
    at += 1;
  }
  return `${threeDigits(rest)} ${units[at]}`;
}

/** Milliseconds; below one in microseconds, from a second on in seconds. */
export function duration(ms: number | null | undefined): string {
  if (ms == null) return '–';
  if (ms > 0 && ms < 1) return `${threeDigits(ms * 1000)} µs`;
  if (ms < 1000) return `${threeDigits(ms)} ms`;
  if (ms < 120_000) return `${threeDigits(ms / 1000)} s`;
  const minutes = ms / 60_000;
  if (minutes < 120) return `${Math.round(minutes)} min`;
  const hours = minutes / 60;
  return hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} d`;
}

export function megabits(value: number | null | undefined): string {
  return value == null ? '–' : `${threeDigits(value)} Mbit/s`;
}

export function percent(value: number | null | undefined): string {
  return value == null ? '–' : `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** A count of instructions, a decimal string: 1,234,567 or 12.3 G. */
export function count(value: string | number | null | undefined): string {
  if (value == null) return '–';
  const number = Number(value);
  if (number < 10_000_000) return whole.format(number);
  return number < 1e10 ? `${threeDigits(number / 1e6)} M` : `${threeDigits(number / 1e9)} G`;
}

function threeDigits(value: number): string {
  if (value === 0) return '0';
  if (value >= 100) return whole.format(Math.round(value));
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const day = new Intl.DateTimeFormat('en-GB', { day: '2-digit', month: 'short' });
const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

/** Of today the time, of other days the day and the time. @param time RFC 3339 */
export function when(time: string, now = new Date()): string {
  const date = new Date(time);
  const isToday = date.toDateString() === now.toDateString();
  return isToday ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`;
}

export const exactTime = (time: string): string => exact.format(new Date(time));

export const plural = (number: number, one: string, many = `${one}s`): string =>
  `${whole.format(number)} ${number === 1 ? one : many}`;

/** @param words such as `take-snapshot` */
export const capital = (words: string): string =>
  words.charAt(0).toUpperCase() + words.slice(1).replaceAll('-', ' ');
