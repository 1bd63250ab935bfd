/** How something is, as a colour and a sign tell it (status.tsx). */
export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'off' | 'unknown';
