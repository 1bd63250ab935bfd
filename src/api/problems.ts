/**
 * Errors on the wire: RFC 9457 problem documents, with the code and the remedy of an `UmbraError`.
 *
 * Twins: what the center writes with `toProblem`, the client reads with `fromProblem`. The table
 * gives every code that the center sends, its HTTP status and what it means; a code that is not in
 * it counts as a conflict with the state of things (409), the commonest kind, and fails a test.
 */
import Type, { type Static } from 'typebox';
import { UmbraError } from '../base/errors.ts';

/** For the console, which imports from api/ alone. */
export { UmbraError };

export const ProblemView = Type.Object({
  /** `urn:umbra:error:CODE` */
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  /** What, and why, as a sentence. */
  detail: Type.String(),
  /** Stable: scripts may test it. */
  code: Type.String(),
  /** What the reader can do about it; may be empty. */
  remedy: Type.String(),
});
export type Problem = Readonly<Static<typeof ProblemView>>;

export const problemCodes: Readonly<Record<string, readonly [status: number, means: string]>> = {
  'request-malformed': [400, 'path, query, header or body is not what the endpoint takes'],
  'certificate-request-malformed': [400, 'the certificate request of a daemon cannot be read'],
  'credentials-missing': [401, 'the caller shows no credentials'],
  'credentials-refused': [401, 'token, session or cookie are not of this center, or revoked'],
  'credentials-expired': [401, 'the API token has expired'],
  'session-expired': [401, 'the session has expired'],
  'login-refused': [401, 'user or password are wrong'],
  'certificate-foreign': [401, "the certificate is not of this cluster's CA"],
  'certificate-ended': [401, 'the certificate has ended, and its owner has a newer one'],
  'certificate-of-another': [401, 'the certificate is that of another kind of member'],
  'token-unknown': [401, 'the join token was never made here, or has been revoked'],
  'token-used': [401, 'somebody has joined with this join token already'],
  'token-expired': [401, 'the join token has expired'],
  'token-wrong-kind': [401, 'the join token is for another kind of member'],
  'access-denied': [403, 'these credentials do not suffice'],
  'host-removed': [403, 'the host or gateway has been removed from the cluster'],
  'host-revoked': [403, 'the certificate of the host or gateway has been revoked'],
  'csrf-refused': [403, 'a call by cookie without its CSRF token, or from another origin'],
  'password-wrong': [403, 'the present password that was given is wrong'],
  'endpoint-unknown': [404, 'there is no such path'],
  'host-unknown': [404, 'there is no such host or gateway'],
  'datastore-unknown': [404, 'no host has a datastore of that name'],
  'vm-unknown': [404, 'there is no such VM'],
  'alarm-unknown': [404, 'there is no such alarm'],
  'image-unknown': [404, 'there is no such image at the center'],
  'image-file-unknown': [404, 'the image has no such file'],
  'saved-state-away': [409, 'the VM is suspended, and the host with its state does not respond'],
  'snapshot-not-deleted': [409, 'the host has not deleted the snapshot in time'],
  'vm-without-disks': [409, 'the VM was never powered on: there is nothing to copy'],
  'disk-shrinks': [409, 'disks can only grow'],
  'recording-unknown': [404, 'the VM has no such recording'],
  'recording-under-way': [409, 'the recording has not ended, or another one of the VM has not'],
  'recording-ended': [409, 'the recording has ended already'],
  'go-live-with-disks': [409, 'a VM with disks cannot be gone live from a recording of'],
  'recording-not-read': [504, 'the host has not read the recording in time'],
  'flight-off': [409, 'the VM has no flight recorder, or it holds nothing yet'],
  'rewind-on-datastore': [409, 'a VM on a datastore cannot be put back to a place of a recording'],
  'rewind-beyond-flight': [409, 'the flight recorder does not hold as much as is to be gone back'],
  'recording-not-deleted': [409, 'the host has not deleted the recording in time'],
  'host-too-old': [409, 'the release of the host does not know what is asked of it'],
  'snapshot-unknown': [404, 'the VM has no such snapshot'],
  'user-unknown': [404, 'there is no such user'],
  'api-token-unknown': [404, 'there is no such API token'],
  'join-token-unknown': [404, 'there is no such join token'],
  'archive-unwanted': [404, 'nobody waits for the archive that a host offers'],
  'task-unknown': [404, 'there is no such task'],
  'method-not-allowed': [405, 'the path takes other methods'],
  'authority-damaged': [409, 'the certificate authority cannot be used'],
  'ft-not-protected': [409, 'the VM has no shadow that could go live now'],
  'ft-precheck-failed': [409, 'fault tolerance cannot be turned on'],
  'ft-not-configured': [409, 'fault tolerance of the VM is not turned on'],
  'ft-starting': [409, 'the shadow of the VM is about to start'],
  'hand-over-failed': [409, 'the VM was not handed over and runs on where it was'],
  'host-busy': [409, 'the host runs VM copies'],
  'host-in-maintenance': [409, 'the host is in maintenance'],
  'host-not-responding': [409, 'the host does not respond'],
  'idempotency-key-reused': [409, 'the idempotency key came with another request before'],
  'image-changed': [409, 'the image of that name is not the one that was asked for'],
  'image-damaged': [409, 'files of the image are missing or not understood'],
  'last-administrator': [409, 'nobody could administrate the cluster any more'],
  'migration-cancelled': [409, 'the migration was given up before it was done'],
  'migration-failed': [409, 'the VM was not migrated and runs on where it was'],
  'name-taken': [409, 'the name is in use'],
  'no-host': [409, 'no host has joined'],
  'no-room': [409, 'no host has room'],
  'port-taken': [409, "the gateway's port is published for another VM"],
  'session-missing': [409, 'the caller has no session that could end'],
  'shadow-cannot-move': [409, 'the shadow cannot be on another host'],
  'task-ended': [409, 'the task has ended already'],
  'task-not-cancellable': [409, 'the task cannot be cancelled'],
  'vm-busy': [409, 'something is being done with the VM that has to end first'],
  'vm-moving': [409, 'the VM is being migrated, or its shadow is'],
  'vm-not-running': [409, 'the VM is not running on a host that responds'],
  'vm-running': [409, 'the VM is not powered off'],
  'changed-meanwhile': [412, 'somebody has changed the VM since it was looked at (If-Match)'],
  'body-too-large': [413, 'the body is larger than the center takes'],
  'path-too-long': [414, 'the path is longer than the center takes'],
  'media-type-unsupported': [415, 'the body is not application/json'],
  'upgrade-required': [426, 'the path is a WebSocket'],
  'login-throttled': [429, 'too many failed logins; see Retry-After'],
  'headers-too-large': [431, 'the head of the request is larger than the center takes'],
  bug: [500, 'the center has failed on the request'],
  'center-follows': [503, 'another center leads, and only it can answer this; ask that one'],
  'store-unreachable': [503, 'the store that the centers share does not answer'],
  'center-stopping': [503, 'the center stops'],
  'datastore-ambiguous': [409, 'hosts have different storage by the name of the datastore'],
  'ha-needs-datastore': [
    409,
    'only a VM whose disks are on a datastore can be restarted elsewhere',
  ],
  'directory-not-empty': [409, 'the folder is not empty'],
  'backup-damaged': [409, 'the file is not a backup of a center'],
  'center-not-joined': [409, 'the center has not joined the cluster that etcd holds'],
  'store-mixed': [409, 'the folder has a store of another kind'],
  'file-unreadable': [409, 'a file cannot be read'],
  'backup-elsewhere': [409, 'the store is backed up by its own means'],
  'center-not-ready': [503, 'the center cannot decide anything now'],
  // Of tasks, in their `error`.
  'task-cancelled': [409, 'the task was cancelled'],
  'export-broken-off': [409, 'the archive did not get to whoever asked for it'],
  'snapshot-failed': [409, 'the VM ended before its snapshot was there'],
  'recording-failed': [409, 'the VM ended before its recording had begun, or was ended'],
  'center-restarted': [503, 'the center was restarted while the task ran'],
};

export function toProblem(error: UmbraError): Problem {
  return {
    type: `urn:umbra:error:${error.code}`,
    title: error.code.replaceAll('-', ' '),
    status: problemCodes[error.code]?.[0] ?? 409,
    detail: error.message,
    code: error.code,
    remedy: error.remedy,
  };
}

/** @returns undefined where the text is not a problem document */
export function fromProblem(text: string): UmbraError | undefined {
  try {
    const { code, detail, remedy } = JSON.parse(text) as Partial<Problem>;
    if (typeof code !== 'string' || typeof detail !== 'string') return undefined;
    return new UmbraError(code, detail, remedy ?? '');
  } catch {
    return undefined;
  }
}
