/**
 * What copies report (lockstep/status.ts `Report`, as JSON), for events: in words, and as data with
 * the API's units. Pure. A host may be older than the center, so nothing is taken for granted.
 */

type Report = Readonly<Record<string, unknown>>;
type Told = { readonly text: string } & Readonly<Record<string, unknown>>;

/** Which entry, both values, and what led to it, in words and as data. */
export function divergenceOf(name: string, report: Report): Told {
  const { position, count, expected, actual, recent } = (report['divergence'] ?? {}) as Record<
    string,
    unknown
  >;
  const lastEntries = Array.isArray(recent) ? recent.map(String) : [];
  const last = lastEntries.length === 0 ? '' : `; the entries before it: ${lastEntries.join(', ')}`;
  const text =
    `the shadow of ${name} computed something else and was stopped: at entry ${position}, ` +
    `count ${count}, the primary had ${expected}, the shadow ${actual}${last}`;
  return { text, position, count, expected, actual, lastEntries };
}

const causes: Readonly<Record<string, string>> = {
  'handed-over': 'the primary handed over',
  silent: 'the primary was silent',
  closed: "the log channel and the primary's host were both gone",
  doubted: "the primary's host was gone and the primary did not answer",
};

/**
 * A shadow went live: why, how long it took to be sure (`detectionMs`) and for how long nobody spoke
 * for the VM (`interruptionMs`), both from the primary's last sign by the shadow's clock; and how many
 * outputs it sent again (`resent`).
 */
export function wentLiveOf(name: string, host: string, report: Report): Told {
  const { generation, cause, resent } = report;
  const [detectionMs, interruptionMs] = [
    ms(report['detectionMicros']),
    ms(report['interruptionMicros']),
  ];
  const why = causes[String(cause)];
  const how =
    interruptionMs === undefined ? '' : `, ${interruptionMs} ms after the primary's last sign`;
  const text = `${name} went live on ${host}${how}${why === undefined ? '' : `: ${why}`}`;
  return { text, generation, cause, detectionMs, interruptionMs, resent };
}

const ms = (micros: unknown): number | undefined =>
  typeof micros === 'number' ? Math.round(micros) / 1_000 : undefined;
