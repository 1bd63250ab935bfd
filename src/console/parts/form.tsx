/**
 * Forms of the API's own calls: what is typed is checked by the endpoint's schema before it is sent,
 * and what the center refuses is told beside what was typed, with its remedy. Nothing that was typed
 * is lost by either, nor by a session that ends meanwhile (session.ts).
 */
import { type SubmitEvent, useRef, useState } from 'react';
import { type EndpointName, endpoints, type Input } from '../../api/endpoints.ts';
import { fieldErrors } from './field-errors.ts';
import { Problem } from './problem.tsx';

type Body<N extends EndpointName> = Input<N> extends { readonly body: infer B } ? B : never;

export interface ApiForm {
  /** Spread onto `<form>`. */
  readonly form: {
    readonly onSubmit: (event: SubmitEvent<HTMLFormElement>) => void;
    noValidate: true;
  };
  /** Spread onto a field: its error, told when it has been sent once. */
  readonly field: (name: string) => { readonly error?: string; readonly name: string };
  readonly isBusy: boolean;
  /** The center's refusal. */
  readonly problem: unknown;
  readonly problemView: React.ReactNode;
}

/**
 * @param body what would be sent now, made from what is typed
 * @param send does it; its failure is shown
 * @param others further fields with what is wrong with them, such as two passwords that differ
 */
export function useApiForm<N extends EndpointName>(
  name: N,
  body: Body<N>,
  send: (body: Body<N>) => Promise<unknown>,
  others: Readonly<Record<string, string | undefined>> = {},
): ApiForm {
  const [isBusy, setBusy] = useState(false);
  const [wasSent, setSent] = useState(false);
  const [problem, setProblem] = useState<unknown>();
  const element = useRef<HTMLFormElement>(null);
  const errors = { ...fieldErrors(endpoints[name], body), ...withoutUndefined(others) };

  const submit = async (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    element.current = event.currentTarget;
    setSent(true);
    setProblem(undefined);
    const [first] = Object.keys(errors);
    if (first !== undefined) {
      const field = element.current.elements.namedItem(first);
      if (field instanceof HTMLElement) field.focus();
      return;
    }
    setBusy(true);
    try {
      await send(body);
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  return {
    form: { onSubmit: submit, noValidate: true },
    field: (field) => {
      const error = wasSent ? errors[field] : undefined;
      return { name: field, ...(error !== undefined && { error }) };
    },
    isBusy,
    problem,
    problemView: problem !== undefined && (
      <div className="u-form-problem">
        <Problem error={problem} />
      </div>
    ),
  };
}

function withoutUndefined(
  values: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).filter((each): each is [string, string] => each[1] !== undefined),
  );
}
