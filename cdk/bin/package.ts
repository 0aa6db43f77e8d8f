// Makes the packages of the constructs, for npm and for PyPI.
//
//     npm run package -- --functions DIRECTORY --out DIRECTORY
//
// DIRECTORY of the functions has a folder for each architecture (`arm64`, `x86_64`) with a zip for each function:
// `slack-ingress.zip`, `redrive.zip`, `agent-dispatch.zip`, `agent-settle.zip`, `token-rotation.zip`, and with the SNS client
// `slack-ingress-sns.zip` and `redrive-sns.zip`. `make package` builds them.
//
// jsii compiles a copy: it wants a package.json of its own kind, and writes beside the sources.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const CDK = resolve(__dirname, '..');
/** Below `cdk`, so that the copy finds what is installed there. */
const STAGE = join(CDK, 'build/stage');
/** What is of the CDK app, and not of the constructs. */
const OF_THE_APP = ['settings', 'guard', 'ingress/stack.ts', 'ingress/manifest.ts', 'agent/stack.ts'];
/** The files that jsii compiles to, and what they read. */
const FILES = ['dist/**/*.js', 'dist/**/*.d.ts', '.jsii', 'tools', 'canary/canary.py', 'functions', 'LICENSE-*'];

interface PackageJson {
  name: string;
  version: string;
  license: string;
  peerDependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  [key: string]: unknown;
}

/** What package.json says, in the form that jsii wants. */
function packageJson(license: string): PackageJson {
  const { name, version, description, keywords, author, engines, peerDependencies, devDependencies } = JSON.parse(
    readFileSync(join(CDK, 'package.json'), 'utf8'),
  ) as PackageJson;
  // jsii wants the least version that a peer may have.
  const least = Object.entries(peerDependencies).map(([name, range]) => [name, range.replace('^', '')]);
  return {
    name,
    version,
    description,
    keywords,
    author,
    license,
    // jsii demands a repository, and there is no public one yet.
    repository: { type: 'git', url: 'https://example.com/slack-ingress.git' },
    main: 'dist/index.js',
    types: 'dist/index.d.ts',
    files: FILES,
    engines,
    peerDependencies,
    devDependencies: { ...Object.fromEntries(least), '@types/node': devDependencies['@types/node']! },
    stability: 'experimental',
    jsii: {
      outdir: 'out',
      versionFormat: 'short',
      targets: { python: { distName: name, module: name.replace(/-/g, '_') } },
      tsc: { outDir: 'dist', rootDir: 'lib', inlineSourceMap: false, inlineSources: false },
    },
  };
}

function main(): void {
  const { values } = parseArgs({ options: { functions: { type: 'string' }, out: { type: 'string' } } });
  if (values.functions === undefined || values.out === undefined) throw new Error('--functions and --out are needed');
  const [functions, out] = [resolve(values.functions), resolve(values.out)];

  rmSync(STAGE, { recursive: true, force: true });
  mkdirSync(STAGE, { recursive: true });
  const isOfTheApp = (path: string) => OF_THE_APP.some((it) => path === join(CDK, 'lib', it));
  cpSync(join(CDK, 'lib'), join(STAGE, 'lib'), { recursive: true, filter: (path) => !isOfTheApp(path) && !path.endsWith('.md') });
  for (const it of ['tools', 'canary', 'README.md']) cpSync(join(CDK, it), join(STAGE, it), { recursive: true });
  for (const it of ['LICENSE-MIT', 'LICENSE-APACHE']) cpSync(join(CDK, '..', it), join(STAGE, it));
  cpSync(functions, join(STAGE, 'functions'), { recursive: true });

  const write = (license: string) => writeFileSync(join(STAGE, 'package.json'), `${JSON.stringify(packageJson(license), null, 2)}\n`);
  const run = (program: string, ...args: string[]) =>
    execFileSync(process.execPath, [require.resolve(program), ...args], {
      cwd: STAGE,
      stdio: 'inherit',
      env: { ...process.env, JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION: '1', JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION: '1' },
    });
  // jsii takes one licence only. Whoever gets the package from npm may choose, as everywhere in this project.
  write('Apache-2.0');
  run('jsii/bin/jsii', '--fail-on-warnings', '--generate-tsconfig', 'tsconfig.jsii.json');
  write('MIT OR Apache-2.0');
  // `make package` has the functions beside them.
  for (const it of ['js', 'python']) rmSync(join(out, it), { recursive: true, force: true });
  run('jsii-pacmak/bin/jsii-pacmak', '--outdir', out, '--target', 'js', '--target', 'python');
}

main();
