/** What went wrong, why, and what to do, as the center says it. */
import { Alert } from '@mantine/core';
import { OctagonX } from 'lucide-react';
import { UmbraError } from '../../api/problems.ts';

export function problemOf(error: unknown): UmbraError {
  if (error instanceof UmbraError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new UmbraError('console-bug', `the console has failed: ${why}`, 'Load the page again.');
}

/** A sentence as it stands alone. */
export const sentence = (text: string): string => {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
};

export function ProblemText({ error }: { readonly error: unknown }) {
  const { message, remedy } = problemOf(error);
  return (
    <>
      <span>{sentence(message)}</span>
      {remedy !== '' && <span className="u-remedy"> {remedy}</span>}
    </>
  );
}

export function Problem({ error }: { readonly error: unknown }) {
  return (
    <Alert color="red" variant="light" icon={<OctagonX size={16} aria-hidden />} role="alert">
      <ProblemText error={error} />
    </Alert>
  );
}
