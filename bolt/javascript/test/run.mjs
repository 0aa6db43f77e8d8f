// Packs the package, installs the tarball's content into a consumer for each version of Bolt, checks the types there, and runs
// the tests with each. So what is tested is what is published. It needs DYNAMODB_URL and SQS_URL, which tests/servers.py gives.
// `node test/run.mjs 5 guard` runs one file with one version.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGES = { 4: 'bolt4', 5: '@slack/bolt' };

const test = dirname(fileURLToPath(import.meta.url));
const root = dirname(test);
const build = join(root, 'build');
const [onlyVersion, onlyFile] = process.argv.slice(2);

for (const variable of ['DYNAMODB_URL', 'SQS_URL']) {
  if (!process.env[variable]) throw new Error(`${variable} is not set: make test-bolt-javascript starts the servers`);
}

rmSync(build, { recursive: true, force: true });
mkdirSync(build, { recursive: true });
const run = (command, args, options = {}) => execFileSync(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], ...options });
const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', build]).toString());
const tarball = join(build, filename);

const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
/** Makes the consumer of one version, checks its types and runs the tests there. Resolves to whether they passed. */
async function testWith(version, name) {
  const consumer = join(build, `bolt${version}`);
  const installed = join(consumer, 'node_modules/slack-ingress-bolt');
  mkdirSync(installed, { recursive: true });
  run('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  mkdirSync(join(consumer, 'node_modules/@slack'));
  symlinkSync(join(root, 'node_modules', name), join(consumer, 'node_modules/@slack/bolt'));
  writeFileSync(join(consumer, 'package.json'), '{"private": true, "type": "commonjs"}');
  for (const file of readdirSync(join(test, 'types'))) {
    writeFileSync(join(consumer, file), readFileSync(join(test, 'types', file)));
  }
  run(process.execPath, [compiler, '-p', consumer], { stdio: 'inherit' });
  const files = readdirSync(test).filter((file) => file.endsWith('.test.mjs') && (!onlyFile || file.startsWith(onlyFile)));
  const tests = spawn(process.execPath, ['--test', '--test-reporter=spec', ...files.map((file) => join(test, file))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      BOLT: version,
      BOLTS: String(Object.keys(PACKAGES).length),
      CONSUMER: consumer,
      TARBALL: tarball,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_ENDPOINT_URL_DYNAMODB: process.env.DYNAMODB_URL,
      AWS_ENDPOINT_URL_SQS: process.env.SQS_URL,
    },
  });
  let output = '';
  tests.stdout.on('data', (data) => { output += data; });
  const code = await new Promise((resolve) => tests.on('close', resolve));
  console.log(`With Bolt ${version}:\n${output}`);
  return code === 0;
}

// Beside each other, because most of what the tests do is wait.
const passed = await Promise.all(
  Object.entries(PACKAGES).filter(([version]) => !onlyVersion || version === onlyVersion).map(([version, name]) => testWith(version, name)),
);
process.exit(passed.every(Boolean) ? 0 : 1);
