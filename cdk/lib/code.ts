import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as lambda from 'aws-cdk-lib/aws-lambda';

/** The crate's root: `cdk/` is in it. */
export const CRATE = resolve(import.meta.dirname, '../..');

/** The functions: what Slack posts to, what sends parked events, and what hands the queue's events to an agent. */
export type Binary = 'slack-ingress' | 'redrive' | 'agent-dispatch';

/** What a function is not built without. */
const FEATURES: Partial<Record<Binary, string[]>> = { 'agent-dispatch': ['dispatch'] };

export interface FunctionCodeProps {
  readonly binary: Binary;
  /**
   * The built function: a zip, or a directory, that holds `bootstrap`.
   * @default it is built from this repository, with cargo-lambda
   */
  readonly path?: string;
  /** What it is built for. One that is given must have been built for it: that is not checked. */
  readonly architecture: lambda.Architecture;
  /**
   * Cargo features to build it with, such as `sns`, beside those that it cannot do without.
   * @default none
   */
  readonly features?: string[];
  /**
   * Where the crate is that is built.
   * @default this repository
   */
  readonly crate?: string;
}

/** A function's code, given or built. */
export function functionCode(props: FunctionCodeProps): lambda.Code {
  return props.path === undefined ? build(props) : given(resolve(props.path));
}

function given(path: string): lambda.Code {
  if (!existsSync(path)) throw new Error(`the function's code is not there: ${path}`);
  const isDirectory = statSync(path).isDirectory();
  if (isDirectory ? !existsSync(join(path, 'bootstrap')) : !path.endsWith('.zip')) {
    throw new Error(`the function's code is neither a .zip nor a directory that holds "bootstrap": ${path}`);
  }
  return lambda.Code.fromAsset(path);
}

function build({ binary, architecture, crate = CRATE, ...props }: FunctionCodeProps): lambda.Code {
  const features = [...(FEATURES[binary] ?? []), ...(props.features ?? [])];
  // A directory for each: cargo-lambda's default is one for both, and the last build would win.
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
