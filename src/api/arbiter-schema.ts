/**
 * What is asked of the arbiter and what it answers, as JSON: the shapes of `lockstep/arbiter.ts`
 * (Ask, Reply), where their meaning is told. Absent members are its `undefined` ones.
 */
import Type from 'typebox';

const Name = Type.String({ minLength: 1, maxLength: 200 });
const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const Member = Type.Object({ host: Name, process: Name });

const SavedAt = Type.Object({ host: Name, id: Name });

export const ArbiterRecord = Type.Object({
  epoch: Count,
  generation: Count,
  state: Type.Enum(['live', 'stopped', 'suspended']),
  live: Type.Optional(Member),
  eligibleShadow: Type.Optional(Member),
  currentReplicas: Type.Array(Name),
  saved: Type.Optional(SavedAt),
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
  }),
  Type.Object({ kind: kind('makeEligible'), shadow: Member }),
  Type.Object({ kind: kind('goAlone') }),
  Type.Object({ kind: kind('claim') }),
  Type.Object({
    kind: kind('stop'),
    state: Type.Enum(['stopped', 'suspended']),
    currentReplicas: Type.Array(Name),
    saved: Type.Optional(Name),
  }),
  Type.Object({ kind: kind('revert'), saved: Name, fenced: Type.Optional(Type.Boolean()) }),
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
