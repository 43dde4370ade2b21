/** Whatever JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [member: string]: Json };

/** A message of SPEC 6.2; a task has at least a type. */
export type Message =
  | ({ kind?: "task"; type: string; id?: string; input?: unknown; queue?: string; priority?: number; after?: string[];
      resources?: string[]; not_before?: string; max_attempts?: number; lease_seconds?: number;
      timeout_seconds?: number; backoff_seconds?: number; from?: string } & Extensions)
  | ({ kind: "batch"; messages: Message[] } & Extensions)
  | ({ kind: "cancel"; task: string; dependants?: boolean; from?: string } & Extensions)
  | ({ kind: "note"; message: string; task?: string; from?: string } & Extensions)
  | ({ kind: "state"; key: string; value: unknown; if_version?: number; from?: string } & Extensions);

/** Members that start with `x-` are anybody's. */
export interface Extensions {
  [member: `x-${string}`]: unknown;
}

/** An offer (SPEC 6.4): what a claimed file says. */
export interface Offer<Input = any> {
  readonly id: string;
  readonly attempt: number;
  readonly type: string;
  readonly input: Input;
  readonly lease_seconds: number;
  readonly result_file: string;
  readonly context: Readonly<Record<string, any>>;
  readonly context_files?: Readonly<Record<string, { readonly path: string; readonly sha256: string }>>;
  readonly output_schema?: Readonly<Record<string, unknown>>;
  readonly last_error?: { readonly code?: string; readonly message: string };
}

/** How a task ended: its record (SPEC 6.6), or the reason for its refusal (6.7). */
export interface Ended {
  /** Whether it is done; else it failed, was canceled, or was refused. */
  readonly ok: boolean;
  readonly path: string;
  readonly document: any;
}

/** What went wrong: `code` is one of these words, or the code of an error of the system. */
export class TaskdirError extends Error {
  constructor(code: string, message: string, options?: ErrorOptions);
  readonly code: "usage" | "no-root" | "empty" | "taken" | "gone" | "unfinished" | (string & {});
}

/** Where, for how long and for how many tasks a worker works. */
export interface WorkOptions {
  /** `default`, if it is not named. */
  queue?: string;
  /** How many tasks to do. */
  tasks?: number;
  /** How many milliseconds without a task to bear. */
  idle?: number;
  /** Ends the work after the task in hand. */
  signal?: AbortSignal;
  /** Is told what a handler threw, and of claims that were lost; console.error, if it is not there. */
  onError?: (error: unknown, claim: Claim) => void;
}

/** A root: submit, claim, wait, work. It keeps nothing open. */
export class Taskdir {
  /** Uses `root`, else $TASKDIR, else the nearest parent directory that holds taskdir.json. */
  constructor(root?: string);
  readonly root: string;
  /** Offers a message, an object or ready-made JSON, never replacing another; returns its id. Throws `taken`. */
  submit(message: Message | string | Uint8Array, id?: string): Promise<string>;
  /** Takes the first task; undefined when there is none. Throws `unfinished` while the agent has one in hand. */
  claim<Input = any>(agent: string, queue?: string): Promise<Claim<Input> | undefined>;
  /** The paths of the agent's claims that have no result beside them. */
  unfinished(agent: string): Promise<string[]>;
  /** Waits for the end of a task. A time limit is a signal: `AbortSignal.timeout(60_000)`; its reason is thrown. */
  wait(id: string, options?: { signal?: AbortSignal }): Promise<Ended>;
  /** Does one task after the other; what the handler returns is the output. Returns how many it did. */
  work<Input = any>(
    agent: string,
    handler: (claim: Claim<Input>) => unknown,
    options?: WorkOptions,
  ): Promise<number>;
}

/** Whether Linux knows of an exclusive lock (SPEC 7.6) on a claimed file: another process works on it. */
export function isLocked(path: string): Promise<boolean>;

/** A task that is yours until you finish it, give it back, or lose it; its lease is kept meanwhile. */
export class Claim<Input = any> implements AsyncDisposable {
  private constructor();
  /** Goes on with a claimed file, after a restart or from a command line. Throws `gone`. */
  static resume<Input = any>(path: string): Promise<Claim<Input>>;
  /** The claimed file. */
  readonly path: string;
  readonly task: Offer<Input>;
  /** The idempotency key for what you do outside. */
  readonly id: string;
  /** The fencing token for what you do outside. */
  readonly attempt: number;
  readonly input: Input;
  /** Aborts when the claim is lost: stop. Its reason is a TaskdirError with the code `gone`. */
  readonly signal: AbortSignal;
  /** Whether it is finished, given back, or known to be lost. */
  readonly over: boolean;
  /** Renews the lease now; it is renewed by itself as well. Throws `gone`. */
  keep(): Promise<void>;
  /** Hands in the output, any JSON value; null, if there is none. Throws `gone`. */
  finish(output?: unknown): Promise<void>;
  /** Hands in an output that is JSON already, byte for byte. Throws `gone`. */
  finishJson(output: string | Uint8Array): Promise<void>;
  /** Hands in an error; `retry` if another attempt may help. Throws `gone`. */
  fail(message: string, options?: { code?: string; retry?: boolean }): Promise<void>;
  /** Lets somebody else do it, at once. Throws `gone`. */
  giveBack(): Promise<void>;
  /** Appends a line for people, which renews the lease too. Throws `gone`. */
  note(text: string): Promise<void>;
  /** Keeps it no longer and leaves it as it is: its lease goes on. */
  leave(): void;
  /** Gives it back, unless it is over: `await using claim = …`. */
  [Symbol.asyncDispose](): PromiseLike<void>;
}
