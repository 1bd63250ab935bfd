/**
 * From the names in a recipe to the packages that they need, always the same ones for one index.
 *
 * Depends and Pre-Depends are followed, Recommends are not. Of alternatives the first is taken that
 * is already chosen, else the first that exists. A virtual package stands for its provider with the
 * first name in the alphabet. Conflicts are not looked at: nothing here is configured, packages are
 * only unpacked, and a recipe that mixes rivals shows it by a file that both contain.
 */
import { UmbraError } from '../base/errors.ts';
import type { Package } from './archive.ts';
import { compareVersions, type Relation, satisfies } from './version.ts';

interface Demand {
  readonly name: string;
  readonly relation?: Relation;
  readonly version?: string;
}

export class PackageIndex {
  readonly #byName = new Map<string, Package>();
  readonly #providers = new Map<string, { by: Package; version: string | undefined }[]>();

  constructor(packages: Iterable<Package>) {
    for (const each of packages) {
      const known = this.#byName.get(each.name);
      if (known === undefined || compareVersions(each.version, known.version) > 0) {
        this.#byName.set(each.name, each);
      }
    }
    for (const by of this.#byName.values()) {
      for (const [provided] of demands(by.provides)) {
        const providers = this.#providers.get(provided!.name) ?? [];
        providers.push({ by, version: provided!.version });
        this.#providers.set(provided!.name, providers);
      }
    }
    for (const providers of this.#providers.values()) {
      providers.sort((a, b) => (a.by.name < b.by.name ? -1 : 1));
    }
  }

  /** The package of exactly this name. */
  named(name: string): Package {
    const found = this.#byName.get(name);
    if (found !== undefined) return found;
    const providers = this.#providers.get(name)?.map(({ by }) => by.name) ?? [];
    throw new UmbraError(
      'image-package-unknown',
      `the archive has no package "${name}" for riscv64`,
      providers.length > 0
        ? `Name one of the packages that provide it: ${providers.slice(0, 8).join(', ')}.`
        : 'Correct the name in the recipe, in its field Packages or Kernel.',
    );
  }

  /** The named packages and all they depend on, sorted by name. */
  closure(names: readonly string[]): Package[] {
    const chosen = new Map<string, Package>();
    const queue = names.map((name) => this.named(name));
    for (const each of queue) chosen.set(each.name, each);
    for (const each of queue) {
      for (const alternatives of demands(each.depends)) {
        if (
          alternatives.some((demand) => this.#candidates(demand).some((p) => chosen.has(p.name)))
        ) {
          continue;
        }
        const pick = alternatives.flatMap((demand) => this.#candidates(demand))[0];
        if (pick === undefined) throw unsatisfiable(each, alternatives);
        chosen.set(pick.name, pick);
        queue.push(pick);
      }
    }
    return [...chosen.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** What satisfies one demand: the package of that name first, then its providers. */
  #candidates({ name, relation, version }: Demand): Package[] {
    const fits = (offered: string | undefined): boolean =>
      relation === undefined || (offered !== undefined && satisfies(offered, relation, version!));
    const real = this.#byName.get(name);
    const providers = this.#providers.get(name) ?? [];
    return [
      ...(real !== undefined && fits(real.version) ? [real] : []),
      ...providers.filter((provider) => fits(provider.version)).map(({ by }) => by),
    ];
  }
}

/** `a (>= 1) | b:any, c` becomes `[[a >= 1, b], [c]]`. */
export function demands(list: string): Demand[][] {
  return list
    .split(',')
    .filter((part) => part.trim() !== '')
    .map((part) => part.split('|').map(readDemand));
}

function readDemand(text: string): Demand {
  const form = /^\s*([^\s:(]+)(?::\S+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^\s)]+)\s*\))?/.exec(text);
  const [, name = text.trim(), relation, version] = form ?? [];
  if (relation === undefined || version === undefined) return { name };
  return { name, relation: relation as Relation, version };
}

function unsatisfiable(by: Package, alternatives: readonly Demand[]): UmbraError {
  const wanted = alternatives.map(({ name, relation, version }) =>
    relation === undefined ? name : `${name} (${relation} ${version})`,
  );
  return new UmbraError(
    'image-package-unsatisfiable',
    `the package ${by.name} needs ${wanted.join(' or ')}, which the archive does not have`,
    'The mirror may be in the middle of an update: try again later, or with --mirror URL.',
  );
}
