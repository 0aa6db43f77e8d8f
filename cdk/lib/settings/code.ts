// The functions' code: given as a zip or a directory, or built from this repository.

import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Binary } from '../common/bootstrap';

/** The root of the repository, which is also the root of the crate. */
const CRATE = resolve(__dirname, '../../..');

/** The directory that `make agent-zip` writes the agent to. */
export const AGENT_CODE = join(CRATE, 'target/agent');

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
  /** The architecture to build for. The constructs check that the code was built for it, however it came. */
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
  const command = [
    ...['cargo', 'lambda', 'build', '--locked', '--release', '--bin', binary, arch],
    ...(features.length > 0 ? ['--features', features.join(',')] : []),
    ...['--lambda-dir', lambdaDir],
  ];
  try {
    const commandOptions = { cwd: crate, stdio: ['ignore', 'inherit', 'inherit'] as ('ignore' | 'inherit')[] };
    // The CDK takes the arguments out of the list that it is given, and the error is to name them.
    return lambda.Code.fromCustomCommand(join(lambdaDir, binary), [...command], { commandOptions });
  } catch (error) {
    throw new Error(
      `the function could not be built (${command.join(' ')}): is cargo-lambda installed? ` +
        'Without it, run `make build`, and give the zips in target/lambda by codePath, redriveCodePath … (docs/deploy.md)',
      { cause: error },
    );
  }
}
