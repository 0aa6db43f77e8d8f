// The command line as a process, with an app of the consumer's.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { directory } from './consumer.mjs';
import { until } from './until.mjs';

const CLI = join(directory, 'node_modules/slack-ingress-bolt/dist/cli.js');

/** What an app's listener does is in the mention's text: {"name", "ms": how long it takes, "fails"}. It tells what it does. */
const APP = `
const { App } = require('@slack/bolt');
const { SqsReceiver } = require('slack-ingress-bolt');
const app = new App({
  token: 'xoxb-one',
  receiver: new SqsReceiver({ metrics: false }),
  clientOptions: { slackApiUrl: process.env.SLACK_URL + '/api/' },
});
const tell = (what, name) => process.stdout.write(JSON.stringify({ listener: what, name }) + '\\n');
app.event('app_mention', async ({ event }) => {
  const { name, ms = 0, fails = false } = JSON.parse(event.text);
  tell('begins', name);
  await new Promise((resolve) => setTimeout(resolve, ms));
  if (fails) throw new Error('as it was told');
  tell('ends', name);
});
app.error(async () => {});
module.exports = app;
`;

export function appFile(source = APP, extension = '.cjs') {
  const file = join(directory, `app-${randomBytes(4).toString('hex')}${extension}`);
  writeFileSync(file, source);
  return file;
}

/**
 * @param story gets what this and other workers tell, in the order in which it happened
 */
export function startWorker({ slack, queueUrl, table, file = appFile(), story = [], environment = {}, cli = CLI, cwd }) {
  const child = spawn(process.execPath, [cli, file], {
    cwd,
    env: {
      ...process.env, SLACK_URL: slack.url, BOLT_QUEUE_URL: queueUrl, BOLT_LEASE_SECONDS: '3',
      ...(table ? { BOLT_TABLE: table } : {}), ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const worker = { child, story, errors: '', lines: [] };
  child.stderr.on('data', (data) => { worker.errors += data; });
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = text.startsWith('{') ? JSON.parse(text) : { text };
    worker.lines.push(line);
    story.push(line);
  });
  worker.ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
  worker.polls = () => until('the worker polls', () => {
    if (child.exitCode !== null) throw new Error(`the worker ended: ${worker.errors}`);
    return worker.lines.some((line) => line.message === 'the worker polls its queue');
  });
  worker.kill = async (signal = 'SIGKILL') => {
    child.kill(signal);
    return worker.ended;
  };
  return worker;
}
