/** `echo.ts FOLDER`: the far end of round-trip.ts, with the certificate of the host in that folder. */
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import { trustOf } from './round-trip.ts';

const [folder = ''] = process.argv.slice(2);
const options = { ...trustOf(folder), requestCert: true, rejectUnauthorized: true };
const server = createServer(options, (socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => {});
  socket.on('data', (chunk) => socket.write(chunk));
});
server.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port));
process.once('disconnect', () => process.exit());
