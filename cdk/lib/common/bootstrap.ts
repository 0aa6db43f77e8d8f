// What a function's program was built for and with: read in the program itself, so that nothing is deployed that cannot start.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import { fileInZip } from './zip';

/** The file that Lambda starts. */
const PROGRAM = 'bootstrap';

/** Lambda's names of the machines in an ELF header (`e_machine`). */
const MACHINES = new Map([
  [0x3e, 'x86_64'],
  [0xb7, 'arm64'],
]);

/** Where `e_machine` is in an ELF header, and how many bytes of the header are read. */
const MACHINE_AT = 18;
const HEADER = 20;

/** What each of our programs has in it (src/lambda/features.rs), besides a text for each feature. */
const BUILD = 'slack-ingress build;';

/**
 * The functions by the names of their binaries: `slack-ingress` answers Slack, `redrive` sends parked events to the
 * queue, `agent-dispatch` hands the queue's events to an agent, `agent-settle` acts for whoever works on one: it posts the
 * answer. `token-rotation` gets new bot tokens before the old ones expire.
 */
export type Binary = 'slack-ingress' | 'redrive' | 'agent-dispatch' | 'agent-settle' | 'token-rotation';

/** What a function's program must be. */
export interface Needed {
  readonly binary: Binary;
  readonly architecture: lambda.Architecture;
  /** The cargo features that it must have been built with. @default none */
  readonly features?: string[];
}

/**
 * Checks that a function's code can run as it is deployed, as far as that can be seen: the code must be a file or directory of
 * this machine (`Code.fromAsset`). Code in S3, and a directory that is still to be built, are not looked at.
 *
 * @throws Error that says what the code was built for, and how to build what is needed
 */
export function checkCode(code: lambda.Code, needed: Needed): void {
  // `AssetCode` has the path. It is not asked for by its class: an app may have a second copy of the library.
  const { path } = code as Partial<lambda.AssetCode>;
  if (typeof path !== 'string' || !existsSync(path)) return;
  const program = programIn(path);
  if (program === undefined) return;
  const problem = problemOf(program, needed);
  if (problem !== undefined) throw new Error(`${needed.binary} (${path}) ${problem}`);
}

/** Returns the program in a zip or directory, or nothing if a directory has none. */
function programIn(path: string): Buffer | undefined {
  if (statSync(path).isDirectory()) {
    const file = join(path, PROGRAM);
    return existsSync(file) ? readFileSync(file) : undefined;
  }
  try {
    const program = fileInZip(readFileSync(path), PROGRAM);
    if (program) return program;
  } catch (error) {
    throw new Error(`the function's code cannot be read: ${path}: ${(error as Error).message}`);
  }
  throw new Error(`the function's code has no "${PROGRAM}" at the top of the zip: ${path}`);
}

/** Returns what is wrong with a program, behind its name. */
function problemOf(program: Buffer, { architecture, features = [] }: Needed): string | undefined {
  const wanted = architecture.name;
  const howToBuild = `make build ARCHITECTURE=${wanted}, or cargo lambda build ${wanted === 'arm64' ? '--arm64' : '--x86-64'}`;
  // Lambda would run a script as well.
  if (program.subarray(0, 2).toString('latin1') === '#!') return undefined;
  if (program.length < HEADER || program.subarray(0, 4).toString('latin1') !== '\x7fELF') {
    return `is no program for Linux: build it for ${wanted} (${howToBuild})`;
  }
  const machine = program.readUInt16LE(MACHINE_AT);
  const built = MACHINES.get(machine);
  if (built === undefined) return `was built for a machine that Lambda has not (e_machine ${machine}): build it for ${wanted} (${howToBuild})`;
  if (built !== wanted) {
    return (
      `was built for ${built}, and is to be deployed for ${wanted}: build it for ${wanted} (${howToBuild}), ` +
      `or set architecture to ${built} (make deploy ARCHITECTURE=${built})`
    );
  }
  // A program that does not say what it was built with is not ours, or older than this check.
  if (!program.includes(BUILD)) return undefined;
  const missing = features.filter((feature) => !program.includes(`slack-ingress feature ${feature};`));
  if (missing.length === 0) return undefined;
  const list = missing.join(',');
  return (
    `was built without the cargo feature ${missing.join(' and ')}, which these settings need: ` +
    `build it with make build FEATURES=${list} (make deploy FEATURES=${list}), or cargo lambda build --features ${list}`
  );
}
