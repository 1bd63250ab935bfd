/**
 * Debian versions, `[epoch:]upstream[-revision]`, and their order (Debian Policy, section 5.6.12):
 * stretches of non-digits and of digits in turn; letters sort before all else, `~` before the end.
 */
export type Relation = '<<' | '<=' | '=' | '>=' | '>>';

const holds: Readonly<Record<Relation, (order: number) => boolean>> = {
  '<<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '=': (order) => order === 0,
  '>=': (order) => order >= 0,
  '>>': (order) => order > 0,
};

export function satisfies(version: string, relation: Relation, wanted: string): boolean {
  return holds[relation](compareVersions(version, wanted));
}

/** Negative if `a` is older than `b`, 0 if they are equal. */
export function compareVersions(a: string, b: string): number {
  const left = split(a);
  const right = split(b);
  return (
    left.epoch - right.epoch ||
    comparePart(left.upstream, right.upstream) ||
    comparePart(left.revision, right.revision)
  );
}

function split(version: string): { epoch: number; upstream: string; revision: string } {
  const colon = version.indexOf(':');
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  return {
    epoch: colon < 0 ? 0 : Number(version.slice(0, colon)),
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? '' : rest.slice(dash + 1),
  };
}

function comparePart(a: string, b: string): number {
  const left = stretches(a);
  const right = stretches(b);
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const [leftText, leftDigits] = left[at] ?? ['', ''];
    const [rightText, rightDigits] = right[at] ?? ['', ''];
    const order = compareText(leftText, rightText) || compareDigits(leftDigits, rightDigits);
    if (order !== 0) return order;
  }
  return 0;
}

/** Pairs of non-digits and the digits behind them. */
function stretches(part: string): [string, string][] {
  return [...part.matchAll(/(\D*)(\d*)/g)].map(([, text, digits]) => [text!, digits!]);
}

function compareText(a: string, b: string): number {
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const order = weight(a[at]) - weight(b[at]);
    if (order !== 0) return order;
  }
  return 0;
}

function weight(character: string | undefined): number {
  if (character === '~') return -1;
  if (character === undefined) return 0;
  return /[A-Za-z]/.test(character) ? character.charCodeAt(0) : character.charCodeAt(0) + 256;
}

/** Numbers of any length. */
function compareDigits(a: string, b: string): number {
  const left = a.replace(/^0+/, '');
  const right = b.replace(/^0+/, '');
  return left.length - right.length || (left < right ? -1 : left > right ? 1 : 0);
}
