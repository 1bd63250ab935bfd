/**
 * Users: a name, a role, the hash of a password. Invariant: once there is an administrator there
 * always is one.
 */
import type { UserView } from '../../api/people.ts';
import type { Role } from '../../api/roles.ts';
import { UmbraError } from '../../base/errors.ts';
import type { Store } from '../store/store.ts';
import { checkPassword, hashPassword } from './passwords.ts';

export interface User {
  readonly name: string;
  readonly role: Role;
  readonly passwordHash: string;
  readonly made: string;
  readonly passwordChanged: string;
  readonly lastLogin: string | null;
}

export class Users {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  get all(): readonly User[] {
    return [...this.#store.all<User>('users')].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(name: string): User | undefined {
    return this.#store.get('users', name);
  }

  find(name: string): User {
    const user = this.get(name);
    if (user !== undefined) return user;
    throw new UmbraError('user-unknown', `there is no user "${name}"`, 'See umbra user list.');
  }

  async add(name: string, role: Role, password: string): Promise<User> {
    const refuseTaken = () => {
      if (this.get(name) === undefined) return;
      const why = `there is a user "${name}" already`;
      throw new UmbraError('name-taken', why, 'Choose another name, or set its role or password.');
    };
    refuseTaken();
    const passwordHash = await hashPassword(password);
    const now = new Date().toISOString();
    const user: User = {
      ...{ name, role, passwordHash },
      ...{ made: now, passwordChanged: now, lastLogin: null },
    };
    this.#store.transaction(() => {
      refuseTaken();
      this.#put(user);
    });
    return user;
  }

  remove(name: string): void {
    const user = this.find(name);
    this.#refuseLast(user);
    this.#store.remove('users', name);
  }

  setRole(name: string, role: Role): User {
    const user = this.find(name);
    if (role !== 'administrator') this.#refuseLast(user);
    return this.#put({ ...user, role });
  }

  async setPassword(name: string, password: string): Promise<User> {
    this.find(name);
    const passwordHash = await hashPassword(password);
    const passwordChanged = new Date().toISOString();
    return this.#put({ ...this.find(name), passwordHash, passwordChanged });
  }

  /** @returns undefined for a wrong password as for an unknown user, after the same time */
  async check(name: string, password: string): Promise<User | undefined> {
    const isRight = await checkPassword(this.get(name)?.passwordHash, password);
    return isRight ? this.get(name) : undefined;
  }

  loggedIn(name: string): void {
    const user = this.get(name);
    if (user !== undefined) this.#put({ ...user, lastLogin: new Date().toISOString() });
  }

  #put(user: User): User {
    this.#store.put('users', user.name, user);
    return user;
  }

  #refuseLast({ name, role }: User): void {
    const others = this.all.filter((user) => user.role === 'administrator' && user.name !== name);
    if (role !== 'administrator' || others.length > 0) return;
    throw new UmbraError(
      'last-administrator',
      `${name} is the last administrator`,
      'Make another user administrator first.',
    );
  }
}

export const userView = ({ passwordHash: _, ...view }: User): UserView => view;
