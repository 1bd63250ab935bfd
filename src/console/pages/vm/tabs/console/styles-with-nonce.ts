import { nonce } from '../../../../nonce.ts';

/**
 * Style elements that are made meanwhile carry the page's nonce, without which its policy would not
 * let them count. For the terminal, which makes some when it is opened and takes no nonce; that it
 * can be given another document does not help, since it makes one of them by the window's own.
 */
export function stylesWithNonce(act: () => void): void {
  const create = document.createElement;
  document.createElement = ((tag: string, options?: ElementCreationOptions) => {
    const element = create.call(document, tag, options);
    if (tag === 'style') element.nonce = nonce;
    return element;
  }) as typeof create;
  try {
    act();
  } finally {
    document.createElement = create;
  }
}
