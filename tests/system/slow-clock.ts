/**
 * Loaded in front of a program (`node --import`): its clock and its timers run at a fraction of
 * their speed, so that a machine that is slow, being emulated, may be as quick as any in its own
 * time. Every interval of lockstep keeps its proportion to every other one.
 */
export const slowness = 20;

const now = performance.now.bind(performance);
const began = now();
performance.now = () => began + (now() - began) / slowness;

const later = globalThis.setTimeout;
const slowed = (act: () => void, ms = 0): NodeJS.Timeout => later(act, ms * slowness);
Object.assign(globalThis, { setTimeout: slowed });
