// The functions' code: given as a zip or a directory, or built from this repository.

import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as lambda from 'aws-cdk-lib/aws-lambda';

/** The root of the repository, which is also the root of the crate. */
export const CRATE = resolve(__dirname, '../../..');

/**
 * The functions by the names of their binaries: `slack-ingress` answers Slack, `redrive` sends parked events to the
 * queue, `agent-dispatch` hands the queue's events to an agent, `agent-settle` acts for whoever works on one: it posts the
 * answer. `token-rotation` gets new bot tokens before the old ones expire.
 */
export type Binary = 'slack-ingress' | 'redrive' | 'agent-dispatch' | 'agent-settle' | 'token-rotation';

/** The cargo features that a binary cannot be built without. */
const REQUIRED_FEATURES: Partial<Record<Binary, string[]>> = {
  'agent-dispatch': ['dispatch'],
  'agent-settle': ['dispatch'],
  'token-rotation': ['dispatch'],
};

export interface FunctionCodeProps {
  readonly binary: Binary;
  /**
   * The built function: a zip or a directory that contains `bootstrap`.
   * @default the function is built from this repository with cargo-lambda
   */
  readonly path?: string;
  /** The architecture to build for. Code that is given by `path` must have been built for it; this is not checked. */
  readonly architecture: lambda.Architecture;
  /**
   * Cargo features to build with, such as `sns`, in addition to those that the binary requires.
   * @default none
   */
  readonly features?: string[];
  /**
   * The directory of the crate to build.
   * @default this repository
   */
  readonly crate?: string;
}

/** The code of a function: `path` if it is given, and otherwise the result of a build. */
export function functionCode(props: FunctionCodeProps): lambda.Code {
  return props.path === undefined ? build(props) : prebuilt(resolve(props.path));
}

function prebuilt(path: string): lambda.Code {
  if (!existsSync(path)) throw new Error(`the function's code does not exist: ${path}`);
  const isDirectory = statSync(path).isDirectory();
  if (isDirectory ? !existsSync(join(path, 'bootstrap')) : !path.endsWith('.zip')) {
    throw new Error(`the function's code must be a .zip or a directory that contains "bootstrap": ${path}`);
  }
  return lambda.Code.fromAsset(path);
}

function build({ binary, architecture, crate = CRATE, ...props }: FunctionCodeProps): lambda.Code {
  const features = [...(REQUIRED_FEATURES[binary] ?? []), ...(props.features ?? [])];
  // One directory for each architecture. cargo-lambda's default directory is the same for both, so the later build
  // would overwrite the earlier one.
  const lambdaDir = join(crate, 'target/lambda-cdk', architecture.name);
  const arch = architecture === lambda.Architecture.ARM_64 ? '--arm64' : '--x86-64';
  return lambda.Code.fromCustomCommand(
    join(lambdaDir, binary),
    [
      ...['cargo', 'lambda', 'build', '--locked', '--release', '--bin', binary, arch],
      ...(features.length > 0 ? ['--features', features.join(',')] : []),
      ...['--lambda-dir', lambdaDir],
    ],
    { commandOptions: { cwd: crate, stdio: ['ignore', 'inherit', 'inherit'] } },
  );
}
