/**
 * What is asked of the arbiter and what it answers, as JSON: the shapes of `lockstep/arbiter.ts`
 * (Ask, Reply), where their meaning is told. Absent members are its `undefined` ones.
 */
import Type from 'typebox';

const Name = Type.String({ minLength: 1, maxLength: 200 });
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const Member = Type.Object({ host: Name, process: Name });

const SavedAt = Type.Object({ host: Name, id: Name });

/** As `SharedDisks.disks`: it names a folder. */
const DisksName = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9-]{0,99}$' });
const LeaseMs = Type.Integer({ minimum: 2_000, maximum: 3_600_000 });
const LeaseName = Type.String({ maxLength: 100 });
const SharedDisks = Type.Object({
  disks: Type.Optional(DisksName),
  leaseMs: Type.Optional(LeaseMs),
  partly: Type.Optional(Type.Boolean()),
  renewals: Count,
});

export const ArbiterRecord = Type.Object({
  epoch: Count,
  generation: Count,
  state: Type.Enum(['live', 'stopped', 'suspended']),
  live: Type.Optional(Member),
  eligibleShadow: Type.Optional(Member),
  currentReplicas: Type.Array(Name),
  saved: Type.Optional(SavedAt),
  shared: Type.Optional(SharedDisks),
  claimId: Type.String({ maxLength: 400 }),
});

const kind = <K extends string>(name: K) => Type.Literal(name);

export const ArbiterOperation = Type.Union([
  Type.Object({
    kind: kind('start'),
    fenced: Type.Optional(Type.Boolean()),
    acceptStale: Type.Optional(Type.Boolean()),
    restore: Type.Optional(Name),
    discardState: Type.Optional(Type.Boolean()),
    disks: Type.Optional(DisksName),
    leaseMs: Type.Optional(LeaseMs),
    lapsed: Type.Optional(LeaseName),
  }),
  Type.Object({ kind: kind('makeEligible'), shadow: Member }),
  Type.Object({ kind: kind('goAlone') }),
  Type.Object({ kind: kind('claim'), disks: Type.Optional(DisksName) }),
  Type.Object({ kind: kind('renew') }),
  Type.Object({
    kind: kind('stop'),
    state: Type.Enum(['stopped', 'suspended']),
    currentReplicas: Type.Array(Name),
    saved: Type.Optional(Name),
  }),
  Type.Object({
    kind: kind('revert'),
    saved: Name,
    fenced: Type.Optional(Type.Boolean()),
    lapsed: Type.Optional(LeaseName),
  }),
  Type.Object({ kind: kind('read') }),
  Type.Object({
    kind: kind('register'),
    known: ArbiterRecord,
    intent: Type.Optional(Member),
  }),
]);

export const ArbiterAsk = Type.Object({
  vm: Name,
  member: Member,
  epoch: Count,
  generation: Count,
  claimId: Type.String({ minLength: 1, maxLength: 400 }),
  operation: ArbiterOperation,
});

export const ArbiterReply = Type.Object({
  vm: Name,
  claimId: Type.String(),
  granted: Type.Boolean(),
  refusal: Type.Optional(Type.String()),
  record: Type.Optional(ArbiterRecord),
});
