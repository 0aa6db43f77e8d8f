// The functions that come with the package from npm or PyPI, built for both architectures.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Needed } from './bootstrap';

/** A zip for each function, in a folder for each architecture. In the repository it is empty: `make package` fills a copy. */
const FUNCTIONS = resolve(__dirname, '../../functions');

/**
 * Returns the code of a function that comes with the package.
 *
 * @throws Error if it does not: in the repository, or if the package was made for one architecture alone
 */
export function packagedCode({ binary, architecture, features = [] }: Needed): lambda.Code {
  const path = join(FUNCTIONS, architecture.name, `${[binary, ...features].join('-')}.zip`);
  if (existsSync(path)) return lambda.Code.fromAsset(path);
  const wanted = `${binary} for ${architecture.name}${features.length > 0 ? ` with ${features.join(' and ')}` : ''}`;
  throw new Error(`no ${wanted} comes with this package (${path} does not exist): give the code of each function as a prop`);
}
