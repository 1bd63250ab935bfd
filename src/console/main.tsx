/**
 * The console's beginning: what the page's policy asks for, the colours, and then the app.
 *
 * The center puts a nonce into the page with every reply; style elements that libraries make carry
 * it (Mantine, react-remove-scroll, and the terminal by styles-with-nonce.ts).
 */
import '@fontsource-variable/inter/index.css';
import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import './console.css';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { ClusterLink } from './live/cluster.ts';
import { nonce } from './nonce.ts';

Object.assign(globalThis, { __webpack_nonce__: nonce });

const link = new ClusterLink();
createRoot(document.getElementById('root')!).render(<App link={link} />);
