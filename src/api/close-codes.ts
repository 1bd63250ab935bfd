/** How the center ends a WebSocket for good: a close code, and a reason `CODE: why`. */

/** WebSocket close code by which the center says that trying again is of no use. */
export const closeRefused = 4403;

/** What `closeReason` (socket.ts) has made; nothing where it is another reason. */
export function parseCloseReason(reason: string): {
  readonly code?: string;
  readonly text?: string;
} {
  const [, code, text] = reason.match(/^([a-z-]+): (.*)$/s) ?? [];
  return { ...(code !== undefined && { code }), ...(text !== undefined && { text }) };
}
