/**
 * Operations that take a while, as tasks: people see how far they are, may cancel them, and find
 * later what came of them.
 *
 *   queued --> running --> succeeded | failed | cancelled
 *
 * `tasks.run({ kind, vm, by }, async (task) => { task.progress(0.3, 'copying'); ... })`. What a task
 * promises to others lives elsewhere in the store: a task that runs when its center ends has failed
 * (`center-restarted`), and whoever has begun something durable picks it up by its own record.
 */
import { toProblem } from '../api/problems.ts';
import type { TaskView } from '../api/tasks.ts';
import { UmbraError } from '../base/errors.ts';
import type { Events } from './events.ts';
import { clearedAtOnceMax, newId } from './people/secrets.ts';
import type { Store } from './store/store.ts';

/** Progress is written down only so often: each note is a write to the disk. */
const notedMs = 1_000;
const endedMax = 1_000;

export interface TaskWish {
  /** In kebab-case, such as `test-failover`. */
  readonly kind: string;
  /** The names of what it is about. */
  readonly vm?: string;
  readonly host?: string;
  /** Who asks for it: `nameOf(caller)`, or `center`. */
  readonly by: string;
  /** true if not given. One that is not is waited for, however long it takes. */
  readonly isCancellable?: boolean;
  /** Tasks with the same text run one after the other; the later ones are queued. */
  readonly after?: string;
}

/** What the operation itself has of its task. */
export interface Task {
  readonly id: string;
  /** @param fraction 0 to 1 */
  progress(fraction: number, message?: string): void;
  /** What has come of it, for people: shown from now on. Adds to what was given before. */
  result(values: NonNullable<TaskView['result']>): void;
  /** Aborted by a cancellation, with the error to throw as its reason. */
  readonly signal: AbortSignal;
}

export interface RunningTask<T> {
  readonly id: string;
  /** What the operation returns or throws. Need not be awaited. */
  readonly done: Promise<T>;
}

interface Running {
  view: TaskView;
  readonly abort: AbortController;
  notedAt: number;
  /** This center leads no more: whoever leads has written what became of it. */
  isAbandoned: boolean;
}

export class Tasks {
  readonly #store: Store;
  readonly #events: Events;
  readonly #running = new Map<string, Running>();
  readonly #queues = new Map<string, Promise<unknown>>();

  constructor(store: Store, events: Events) {
    this.#store = store;
    this.#events = events;
  }

  /** At the start of a center that leads: what an earlier one has left running has failed. */
  recover(): void {
    const why = 'the center was restarted while the task ran';
    const error = new UmbraError('center-restarted', why, 'Look at what it has done; ask again.');
    for (const view of this.#store.all<TaskView>('tasks')) {
      if (isOver(view) || this.#running.has(view.id)) continue;
      this.#ended({ ...view, state: 'failed', error: toProblem(error) });
    }
  }

  run<T>(wish: TaskWish, act: (task: Task) => Promise<T>): RunningTask<T> {
    const id = newId('task');
    const view: TaskView = {
      ...{ id, kind: wish.kind, state: 'queued', vm: wish.vm ?? null, host: wish.host ?? null },
      ...{ by: wish.by, progress: 0, message: '', isCancellable: wish.isCancellable ?? true },
      ...{ error: null, created: new Date().toISOString(), started: null, ended: null },
    };
    const running: Running = {
      view,
      abort: new AbortController(),
      notedAt: performance.now(),
      isAbandoned: false,
    };
    this.#running.set(id, running);
    this.#put(view);
    const before = wish.after === undefined ? undefined : this.#queues.get(wish.after);
    // Without a queue it begins at once: conditions that the caller has checked still hold.
    const done =
      before === undefined
        ? this.#perform(running, act)
        : before.then(() => this.#perform(running, act));
    const settled = done.catch(() => {});
    if (wish.after !== undefined) {
      const { after } = wish;
      this.#queues.set(after, settled);
      settled.then(() => {
        if (this.#queues.get(after) === settled) this.#queues.delete(after);
      });
    }
    return { id, done };
  }

  async #perform<T>(running: Running, act: (task: Task) => Promise<T>): Promise<T> {
    const { signal } = running.abort;
    try {
      signal.throwIfAborted();
      this.#change(running, { state: 'running', started: new Date().toISOString() });
      const result = await act({
        id: running.view.id,
        signal,
        progress: (fraction, message) => this.#progress(running, fraction, message),
        result: (values) =>
          this.#change(running, { result: { ...running.view.result, ...values } }),
      });
      this.#end(running, { state: 'succeeded', progress: 1 });
      return result;
    } catch (error) {
      const { name } = error as Error;
      const isCancelled = signal.aborted && (error === signal.reason || name === 'AbortError');
      const why = isCancelled ? (signal.reason as UmbraError) : error;
      const known =
        why instanceof UmbraError
          ? why
          : new UmbraError('bug', `the task has failed: ${why}`, 'Please report it.');
      this.#end(running, { state: isCancelled ? 'cancelled' : 'failed', error: toProblem(known) });
      throw why;
    }
  }

  #progress(running: Running, fraction: number, message = running.view.message): void {
    if (isOver(running.view) || running.isAbandoned) return;
    const progress = Math.min(1, Math.max(0, fraction));
    running.view = { ...running.view, progress, message };
    if (performance.now() - running.notedAt < notedMs) return;
    running.notedAt = performance.now();
    this.#put(running.view);
  }

  #change(running: Running, changes: Partial<TaskView>): void {
    running.view = { ...running.view, ...changes };
    if (!running.isAbandoned) this.#put(running.view);
  }

  #end(running: Running, changes: Partial<TaskView>): void {
    running.view = { ...running.view, ...changes };
    this.#running.delete(running.view.id);
    if (!running.isAbandoned) this.#ended(running.view);
  }

  #ended(view: TaskView): void {
    const { id: task, kind, state, vm, host, error } = view;
    const of = vm ?? host;
    const why = error === null ? '' : `: ${error.detail}`;
    const text = `${kind}${of === null ? '' : ` of ${of}`} ${words[state]}${why}`;
    this.#store.transaction(() => {
      this.#put({ ...view, ended: new Date().toISOString() });
      this.#events.add('task-ended', text, {
        ...{ task, kind, state, code: error?.code ?? null },
        ...(vm !== null && { vm }),
        ...(host !== null && { host }),
      });
      const over = this.#store.all<TaskView>('tasks').filter(isOver).sort(byCreation);
      for (const old of over.slice(
        0,
        Math.min(clearedAtOnceMax, Math.max(0, over.length - endedMax)),
      )) {
        this.#store.remove('tasks', old.id);
      }
    });
  }

  #put(view: TaskView): void {
    this.#store.put('tasks', view.id, view);
  }

  list(query: { state?: TaskView['state']; vm?: string; limit?: number } = {}): TaskView[] {
    return this.#store
      .all<TaskView>('tasks')
      .map((view) => this.#running.get(view.id)?.view ?? view)
      .filter(({ state, vm }) => (query.state ?? state) === state && (query.vm ?? vm) === vm)
      .sort(byCreation)
      .slice(-(query.limit ?? 1000));
  }

  /** One that has not ended; `vm` is a name. */
  running(kind: string, vm: string): TaskView | undefined {
    const found = [...this.#running.values()].find(
      ({ view }) => view.kind === kind && view.vm === vm,
    );
    return found?.view;
  }

  find(id: string): TaskView | undefined {
    return this.#running.get(id)?.view ?? this.#store.get<TaskView>('tasks', id);
  }

  show(id: string): TaskView {
    const view = this.find(id);
    if (view !== undefined) return view;
    throw new UmbraError('task-unknown', `there is no task "${id}"`, 'See umbra task list.');
  }

  /** Asks it to stop: it has when its state says so, and may succeed nevertheless. */
  cancel(id: string, by: string): TaskView {
    const view = this.show(id);
    const running = this.#running.get(id);
    if (running === undefined) {
      throw new UmbraError('task-ended', `the task has ended already (${view.state})`, '');
    }
    if (!view.isCancellable) {
      const why = `a task of the kind ${view.kind} cannot be cancelled`;
      throw new UmbraError('task-not-cancellable', why, `Wait for it: umbra task show ${id}.`);
    }
    running.abort.abort(new UmbraError('task-cancelled', `cancelled by ${by}`, ''));
    return this.show(id);
  }

  /** This center stops, or leads no more: what runs is the next one's to recover. */
  resign(): void {
    const why = new UmbraError('center-stopping', 'the center stops', 'Ask again when it is back.');
    for (const running of this.#running.values()) {
      running.isAbandoned = true;
      running.abort.abort(why);
    }
    this.#running.clear();
  }
}

const words: Readonly<Record<TaskView['state'], string>> = {
  ...{ queued: 'waits', running: 'runs' },
  ...{ succeeded: 'has succeeded', failed: 'has failed', cancelled: 'was cancelled' },
};

const isOver = ({ state }: TaskView): boolean => state !== 'queued' && state !== 'running';

function byCreation(a: TaskView, b: TaskView): number {
  return a.created === b.created ? 0 : a.created < b.created ? -1 : 1;
}
