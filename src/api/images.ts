/** Images at the center, from which VMs are created; rows of api/endpoints.ts. */
import Type, { type Static } from 'typebox';

export const ImageView = Type.Object({
  name: Type.String(),
  /** SHA-256 (hex) of its image.json: what `imageDigest` of createVm means. */
  digest: Type.String(),
  /** What it is, in a line; empty if it does not say. */
  summary: Type.String(),
  /** Memory of a VM that asks for none. */
  memoryBytes: Type.Integer(),
  /** Of its disks; each VM has copies of its own. */
  diskBytes: Type.Array(Type.Integer()),
});
export type ImageView = Static<typeof ImageView>;

export const imageEndpoints = {
  listImages: {
    method: 'GET',
    path: '/images',
    access: 'viewer',
    summary: "Images in the store of the center's machine, by name.",
    reply: Type.Array(ImageView),
  },
} as const;
