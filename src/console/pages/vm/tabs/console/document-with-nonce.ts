import { nonce } from '../../../../nonce.ts';

/**
 * The document as the terminal is to see it: style elements that it makes carry the page's nonce,
 * without which the page's policy would not let them count.
 */
export function documentWithNonce(): Document {
  return new Proxy(document, {
    get(target, name) {
      if (name === 'createElement') {
        return (tag: string) => {
          const element = target.createElement(tag);
          if (tag === 'style') element.nonce = nonce;
          return element;
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
