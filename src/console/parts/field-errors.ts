/** What is wrong with each field of a body, by the endpoint's own schema. Pure. */
import Value from 'typebox/value';
import type { Endpoint } from '../../api/endpoints.ts';

/** By the first name in the body that it is about. */
export function fieldErrors({ body: schema }: Endpoint, body: unknown): Record<string, string> {
  if (schema === undefined) return {};
  // As JSON has it: fields that are undefined are not there.
  const sent: unknown = JSON.parse(JSON.stringify(body));
  const found: Record<string, string> = {};
  for (const error of Value.Errors(schema, sent)) {
    const path = error.instancePath.split('/').filter(Boolean);
    const missing = (error.params as { requiredProperties?: string[] }).requiredProperties;
    const names = path.length > 0 ? [path[0]!] : (missing ?? []);
    for (const name of names) found[name] ??= wordsOf(schema, name, error.message);
  }
  return found;
}

/** What a schema asks for, in its own words if it has some. */
function wordsOf(schema: unknown, name: string, message: string): string {
  const { properties = {} } = schema as { properties?: Record<string, FieldSchema> };
  const { description, minLength, minimum, maximum } = properties[name] ?? {};
  if (description !== undefined) return `Give ${description}.`;
  if (minLength === 1) return 'This is needed.';
  if (minLength !== undefined) return `At least ${minLength} characters.`;
  if (minimum !== undefined && maximum !== undefined) return `From ${minimum} to ${maximum}.`;
  return message.charAt(0).toUpperCase() + message.slice(1);
}

interface FieldSchema {
  readonly description?: string;
  readonly minLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
}
