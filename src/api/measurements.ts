/**
 * Measurements of a VM over time, for charts: `GET /vms/:vm/measurements` has the last quarter of an
 * hour, `/live` what comes after it (live.ts `VmFigures`). One name, one meaning in both.
 */
import Type, { type Static, type TSchema } from 'typebox';

const OrNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** How long the center keeps measurements, and how often it takes one. Kept in memory only. */
export const measuredSeconds = 900;
export const measurementStepMs = 2_000;

/** What is measured, each with its unit; of the live copy unless the name says otherwise. */
export const measured = {
  cpuPercent: 'of one core',
  shadowCpuPercent: 'of one core',
  memoryBytes: 'resident',
  shadowMemoryBytes: 'resident',
  receivedMbitPerSecond: 'frames that the guest was given',
  sentMbitPerSecond: "the guest's frames that left its host",
  readBytesPerSecond: 'that the guest has asked of its disks',
  writtenBytesPerSecond: 'that the guest has asked of its disks',
  logMbitPerSecond: 'to the shadow',
  lagMs: 'how far the shadow is behind',
  gateMs: 'how long outputs were held lately, median',
} as const;
export type Measured = keyof typeof measured;
export const measuredNames = Object.keys(measured) as Measured[];

/** One moment. null: there was no such copy, or nothing to measure. */
export type Measurement = Readonly<Record<Measured, number | null>>;

const Series = Type.Array(OrNull(Type.Number()));
const series = Object.fromEntries(
  measuredNames.map((name) => [
    name,
    Type.Array(OrNull(Type.Number()), { description: measured[name] }),
  ]),
) as Record<Measured, typeof Series>;

/** Columns of one length, oldest first. */
export const MeasurementsView = Type.Object({
  vm: Type.String(),
  stepMs: Type.Integer(),
  /** Moments by the center's clock, Unix milliseconds. Where it was not powered on there are none. */
  times: Type.Array(Type.Integer()),
  ...series,
});
export type MeasurementsView = Static<typeof MeasurementsView>;

export const measurementEndpoints = {
  listMeasurements: {
    method: 'GET',
    path: '/vms/:vm/measurements',
    access: 'viewer',
    summary:
      'CPU, memory, network, disks and log of a VM over the last quarter of an hour, in columns.',
    params: Type.Object({ vm: Type.String({ minLength: 1 }) }),
    query: Type.Object(
      {
        seconds: Type.Optional(
          Type.Integer({ minimum: 1, maximum: measuredSeconds, description: 'the last ones only' }),
        ),
      },
      { additionalProperties: false },
    ),
    reply: MeasurementsView,
  },
} as const;
