/**
 * Errors on the wire: RFC 9457 problem documents, with the code and the remedy of an `UmbraError`.
 *
 * Twins: what the center writes with `toProblem`, the client reads with `fromProblem`. The table
 * gives the HTTP status of every code; a code that is not in it is a conflict with the state of
 * things (409), the commonest kind.
 */
import { UmbraError } from '../base/errors.ts';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly remedy: string;
}

const statuses: Readonly<Record<string, number>> = {
  'request-malformed': 400,
  'credentials-missing': 401,
  'credentials-refused': 401,
  'certificate-foreign': 401,
  'certificate-ended': 401,
  'certificate-of-another': 401,
  'token-refused': 401,
  'access-denied': 403,
  'host-removed': 403,
  'host-revoked': 403,
  'endpoint-unknown': 404,
  'host-unknown': 404,
  'vm-unknown': 404,
  'image-unknown': 404,
  'image-file-unknown': 404,
  'certificate-request-malformed': 400,
  bug: 500,
  'center-stopping': 503,
};

export function toProblem(error: UmbraError): Problem {
  return {
    type: `urn:umbra:error:${error.code}`,
    title: error.code.replaceAll('-', ' '),
    status: statuses[error.code] ?? 409,
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
