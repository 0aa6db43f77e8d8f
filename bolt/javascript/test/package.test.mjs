// The tarball in a directory of its own, outside of this repository, where nothing is but it and Bolt.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { builtinModules, createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { require } from './support/consumer.mjs';

let clean;
before(() => {
  clean = mkdtempSync(join(tmpdir(), 'consumer-'));
  writeFileSync(join(clean, 'package.json'), '{"private": true}');
  // Without Bolt, which is linked, and without the optional SDK, so that nothing has to be fetched.
  execFileSync('npm', ['install', '--offline', '--legacy-peer-deps', '--no-audit', '--no-fund', process.env.TARBALL], { cwd: clean, stdio: 'pipe' });
  mkdirSync(join(clean, 'node_modules/@slack'), { recursive: true });
  symlinkSync(realpathSync(join(process.env.CONSUMER, 'node_modules/@slack/bolt')), join(clean, 'node_modules/@slack/bolt'));
});
after(() => rmSync(clean, { recursive: true, force: true }));

function run(name, source) {
  writeFileSync(join(clean, name), source);
  const { AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL_SQS, ...environment } = process.env;
  return spawnSync(process.execPath, [join(clean, name)], { cwd: clean, encoding: 'utf8', env: environment });
}

const USE = `
const app = new App({ authorize: async () => ({ botId: 'B', botUserId: 'U' }), receiver: new SqsReceiver({ metrics: false }) });
app.event('app_mention', async ({ event }) => console.log('heard ' + event.text));
const record = {
  messageId: 'm', body: JSON.stringify({ event: { type: 'app_mention', text: 'hello', channel: 'C', ts: '1' } }), attributes: {},
  messageAttributes: { kind: { stringValue: 'event' }, event_id: { stringValue: 'Ev1' } }, eventSourceARN: 'arn:aws:sqs:x:1:q',
};
app.start().then(async (handler) => console.log(JSON.stringify(await handler({ Records: [record] }))));
`;

for (const [name, source] of [
  ['app.cjs', `const { App } = require('@slack/bolt'); const { SqsReceiver } = require('slack-ingress-bolt'); ${USE}`],
  ['app.mjs', `import { App } from '@slack/bolt'; import { SqsReceiver } from 'slack-ingress-bolt'; ${USE}`],
]) {
  test(`it works in ${name}, without the AWS SDK as long as there is no guard`, () => {
    const { stdout, stderr } = run(name, source);
    assert.match(stdout, /heard hello/, stderr);
    assert.match(stdout, /"outcome":"done"/);
    assert.match(stdout, /\{"batchItemFailures":\[\]\}/);
  });
}

test('a guard without the AWS SDK: what is missing is said', () => {
  const { stderr } = run('guard.cjs', 'new (require("slack-ingress-bolt").SqsReceiver)({ table: "events" });');
  assert.match(stderr, /npm install @aws-sdk\/client-dynamodb/);
});

test('the command line is installed', () => {
  const { stdout, status } = spawnSync(join(clean, 'node_modules/.bin/slack-ingress-bolt'), ['--help'], { encoding: 'utf8' });
  assert.equal(status, 0);
  assert.match(stdout, /usage: slack-ingress-bolt APP/);
});

test('it has its types, README and licences, and nothing else than dist', () => {
  const installed = join(clean, 'node_modules/slack-ingress-bolt');
  assert.deepEqual(readdirSync(installed).sort(), ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'dist', 'package.json']);
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const path of [manifest.main, manifest.types, manifest.bin['slack-ingress-bolt'], manifest.exports['.'].types]) {
    assert.ok(existsSync(join(installed, path)), path);
  }
});

test('all that it imports is named in its package.json', () => {
  const installed = join(clean, 'node_modules/slack-ingress-bolt');
  const { peerDependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  const imported = new Set(readdirSync(join(installed, 'dist')).flatMap((file) =>
    [...readFileSync(join(installed, 'dist', file), 'utf8').matchAll(/(?:require\(|from |import\()['"]([^.'"][^'"]*)['"]/g)].map((match) => match[1])));
  const foreign = [...imported].filter((name) => !builtinModules.includes(name.replace('node:', '')));
  assert.deepEqual(foreign.sort(), Object.keys(peerDependencies).sort());
});

test('the peer range begins at the versions that are tested', () => {
  const { version } = createRequire(require.resolve('@slack/bolt'))('../package.json');
  assert.ok(version.startsWith(`${process.env.BOLT}.`), version);
  const { peerDependencies } = JSON.parse(readFileSync(join(clean, 'node_modules/slack-ingress-bolt/package.json'), 'utf8'));
  const ranges = peerDependencies['@slack/bolt'].split(' || ');
  assert.equal(ranges.find((range) => range.startsWith(`^${process.env.BOLT}.`)), `^${version}`);
  assert.equal(ranges.length, Number(process.env.BOLTS));
});
