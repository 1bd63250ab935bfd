/**
 * Speaks to a center from inside its namespace, run as: api-call.ts ADMIN_FILE. For each message
 * `[id, name, input]` of its parent it makes one call and answers `[id, reply, error]`.
 */
import { Client } from '../../src/api/client.ts';
import { readPersonCredentials } from '../../src/api/credentials.ts';
import type { EndpointName } from '../../src/api/endpoints.ts';

const { url, ca, token } = readPersonCredentials(process.argv[2]!);
const client = new Client(url, { ca, token });
const call = client.call.bind(client) as (name: EndpointName, input?: unknown) => Promise<unknown>;

process.on('message', ([id, name, input]: [number, EndpointName, unknown]) => {
  call(name, input).then(
    (reply) => process.send!([id, reply]),
    (error: Error) => process.send!([id, null, error.message]),
  );
});
process.on('disconnect', () => process.exit(0));
