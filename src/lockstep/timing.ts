/**
 * The intervals of lockstep in one place, and how they depend on each other.
 *
 * The primary gives up on a silent shadow before the shadow gives up on a silent primary, so that a
 * pulled log cable favours the primary (DESIGN 6). All of them are about speed: which side is live
 * is decided by the arbiter alone and never by a clock.
 */
export const timing = {
  /** An idle pair says so this often, each way. */
  heartbeatMicros: 100_000,
  /** A primary that hears nothing for so long goes alone. */
  shadowSilenceMicros: 350_000,
  /** A primary whose log channel closed waits so long for it to come back. */
  shadowReconnectMicros: 250_000,
  /** A shadow that hears nothing, or whose log channel alone closed, claims after this. */
  primarySilenceMicros: 500_000,
  /** A primary whose trunk closed answers within this, or is lost. */
  doubtMicros: 30_000,
  /** A copy that has not begun its work within this gives up. */
  greetingMicros: 5_000_000,
  /** Held outputs of a machine that goes on are sealed so often at most: each costs a message. */
  sealMicros: 500,
  /** One that nobody waits for, as a bare acknowledgement of TCP, is held so long for the next. */
  companyMicros: 1_000,
  /** Entries without a held output wait at most this long for company. */
  batchMicros: 15_000,
  /** The same where only a recording listens. */
  recordingMicros: 100_000,
  /** Asking the arbiter again, and telling people that it does not answer. */
  askAgainMicros: 100_000,
  arbiterAlarmMicros: 1_000_000,
  /** After consent, the primary takes the machine back if nobody took it over. */
  consentMicros: 2_000_000,
  /** A fingerprint of a machine that has moved. */
  fingerprintMicros: 1_000_000,
  /** What a shadow executed is reported at least so much later, if nothing else is sent. */
  executedReportMicros: 20_000,
  /** A shadow that lags less than this is close enough to be protected. */
  caughtUpMicros: 100_000,
  /** One that is handed over to is to lag no more than this, if that can be had in so much time. */
  nearMicros: 30_000,
  nearingMicros: 1_000_000,
} as const;
