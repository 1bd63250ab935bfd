/**
 * Images as guests for tests and benches: each is built once, into the checkout's .cache folder,
 * which all of them share, and again when its recipe has changed.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildImage } from '../../src/images/build.ts';
import { type Image, imagesFolder, loadImage } from '../../src/images/image.ts';
import { alone } from '../../src/images/lock.ts';
import { loadRecipe, type Recipe } from '../../src/images/recipe.ts';

export const imagesHome = resolve(import.meta.dirname, '../../.cache/images-home');

async function current(recipe: Recipe): Promise<Image | undefined> {
  if (!existsSync(join(imagesFolder(imagesHome), recipe.name))) return undefined;
  const image = await loadImage(imagesHome, recipe.name);
  return image.recipe === recipe.digest ? image : undefined;
}

/** @param recipe name or path of a recipe */
export async function builtImage(recipe: string): Promise<Image> {
  const wanted = loadRecipe(recipe);
  const find = async (): Promise<Image> =>
    (await current(wanted)) ?? (await buildImage(wanted, { home: imagesHome }));
  // A lock of its own, so that whoever waited finds the image that the other one has built.
  return alone(join(imagesHome, 'tests'), find, { onWait: () => {} });
}
