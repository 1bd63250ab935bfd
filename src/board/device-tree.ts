/** Flattened device trees (Devicetree Specification 0.4, chapter 5): a writer, no more. */

export type Property = string | readonly string[] | number | readonly number[] | Uint8Array | true;

export interface TreeNode {
  readonly name: string;
  /** Numbers are 32-bit cells; `true` is a property without a value. */
  readonly properties: Readonly<Record<string, Property>>;
  readonly children?: readonly TreeNode[];
}

const FDT_MAGIC = 0xd00dfeed;
const FDT_BEGIN_NODE = 1;
const FDT_END_NODE = 2;
const FDT_PROP = 3;
const FDT_END = 9;

const encoder = new TextEncoder();

/** Two cells of a 64-bit number. */
export const cells64 = (value: number): [number, number] => [
  Math.floor(value / 2 ** 32),
  value >>> 0,
];

function valueBytes(value: Property): Uint8Array {
  if (value === true) return new Uint8Array(0);
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string') return encoder.encode(`${value}\0`);
  if (typeof value === 'number') return cellBytes([value]);
  if (value.length > 0 && typeof value[0] === 'string') {
    return encoder.encode(value.map((text) => `${text}\0`).join(''));
  }
  return cellBytes(value as readonly number[]);
}

function cellBytes(cells: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(cells.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, cell] of cells.entries()) view.setUint32(index * 4, cell);
  return bytes;
}

export function flattenTree(root: TreeNode): Uint8Array {
  const structure: number[] = [];
  const strings: string[] = [];
  let stringsLength = 0;
  const offsets = new Map<string, number>();
  const cell = (value: number): void => {
    structure.push(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
  };
  const padded = (bytes: Uint8Array): void => {
    structure.push(...bytes);
    while (structure.length % 4 !== 0) structure.push(0);
  };
  const nameOffset = (name: string): number => {
    const known = offsets.get(name);
    if (known !== undefined) return known;
    const offset = stringsLength;
    offsets.set(name, offset);
    strings.push(`${name}\0`);
    stringsLength += name.length + 1;
    return offset;
  };
  const node = ({ name, properties, children = [] }: TreeNode): void => {
    cell(FDT_BEGIN_NODE);
    padded(encoder.encode(`${name}\0`));
    for (const [key, value] of Object.entries(properties)) {
      const bytes = valueBytes(value);
      cell(FDT_PROP);
      cell(bytes.length);
      cell(nameOffset(key));
      padded(bytes);
    }
    for (const child of children) node(child);
    cell(FDT_END_NODE);
  };
  node(root);
  cell(FDT_END);

  const headerBytes = 40;
  const reservationBytes = 16;
  const structureAt = headerBytes + reservationBytes;
  const stringsAt = structureAt + structure.length;
  const total = stringsAt + stringsLength;
  const header = cellBytes([
    FDT_MAGIC,
    total,
    structureAt,
    stringsAt,
    headerBytes,
    17,
    16,
    0,
    stringsLength,
    structure.length,
  ]);
  const tree = new Uint8Array(total);
  tree.set(header);
  tree.set(structure, structureAt);
  tree.set(encoder.encode(strings.join('')), stringsAt);
  return tree;
}
