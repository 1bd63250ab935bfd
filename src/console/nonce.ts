/** The nonce of this page (center/console-files.ts): style elements without it do not count. */
export const nonce =
  document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? '';
