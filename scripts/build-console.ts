/** `npm run build:console`: builds the web console if there is none or its sources have changed. */
import { buildConsole } from './console.ts';

const started = performance.now();
if (await buildConsole(process.argv.includes('--force'))) {
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.error(`The web console was built in ${seconds} s.`);
}
