/**
 * Stanzas of "Field: value" lines, the form in which Debian keeps Release files, package indexes
 * and apt sources (deb-control(5), sources.list(5)), and in which Umbra's recipes begin.
 *
 * A line that starts with white space continues the field above it; a lone dot there is an empty
 * line; `#` in the first column is a comment; an empty line ends a stanza. Field names are matched
 * without regard to case and kept in lower case.
 */
export type Stanza = ReadonlyMap<string, string>;

export class MalformedStanza extends Error {
  override readonly name = 'MalformedStanza';
  /** Counted from 1. */
  readonly line: number;

  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** The stanzas of a text, one at a time: a package index has a hundred thousand of them. */
export function* stanzas(text: string): Generator<Stanza> {
  let fields = new Map<string, string>();
  let field = '';
  let number = 0;
  for (let at = 0; at <= text.length; ) {
    let end = text.indexOf('\n', at);
    if (end < 0) end = text.length;
    const line = text.slice(at, end).replace(/\s+$/, '');
    at = end + 1;
    number++;
    if (line === '') {
      if (fields.size > 0) yield fields;
      fields = new Map();
      field = '';
    } else if (line.startsWith('#')) {
      // A comment interrupts nothing.
    } else if (line.startsWith(' ') || line.startsWith('\t')) {
      if (field === '')
        throw new MalformedStanza(number, 'a continuation without a field above it');
      const more = line.slice(1);
      fields.set(field, `${fields.get(field)}\n${more === '.' ? '' : more}`);
    } else {
      const colon = line.indexOf(':');
      if (colon < 1) throw new MalformedStanza(number, `"${line}" is not a "Field: value" line`);
      field = line.slice(0, colon).toLowerCase();
      if (fields.has(field)) {
        throw new MalformedStanza(number, `the field ${line.slice(0, colon)} appears twice`);
      }
      fields.set(field, line.slice(colon + 1).trim());
    }
  }
  if (fields.size > 0) yield fields;
}

/** The words of a field, whatever white space and line breaks lie between them. */
export function words(value: string | undefined): string[] {
  return (value ?? '').split(/\s+/).filter((word) => word !== '');
}
