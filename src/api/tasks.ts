/** What the API tells of tasks: operations that take a while (center/tasks.ts). */
import Type, { type Static } from 'typebox';
import { ProblemView } from './problems.ts';

const OrNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const taskStates = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const;

export const TaskView = Type.Object({
  id: Type.String(),
  kind: Type.String({ description: 'what is done, such as test-failover' }),
  state: Type.Enum([...taskStates]),
  /** Names, as they were at the start. */
  vm: OrNull(Type.String()),
  host: OrNull(Type.String()),
  /** Who has asked for it. */
  by: Type.String(),
  /** 0 to 1. */
  progress: Type.Number({ minimum: 0, maximum: 1 }),
  message: Type.String(),
  isCancellable: Type.Boolean(),
  /** What has come of it, by its kind: of an export, `file` and `host`, or `bytes` and `sha256`. */
  result: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  error: OrNull(ProblemView),
  created: Type.String({ format: 'date-time' }),
  started: OrNull(Type.String({ format: 'date-time' })),
  ended: OrNull(Type.String({ format: 'date-time' })),
});
export type TaskView = Static<typeof TaskView>;
