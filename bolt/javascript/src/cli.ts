#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { loadApp } from './app-module';
import { SlackIngressBoltError } from './errors';
import { receiverOf, SqsReceiver } from './receiver';

const USAGE = `usage: slack-ingress-bolt APP [--queue-url URL]

Runs the Bolt app that the module APP exports (by default, or as "app") as a worker behind the queue of slack-ingress.

  --queue-url URL   the queue (BOLT_QUEUE_URL)

An app that was made with Bolt's own receiver is run as well; its HTTP server or socket is not started. Then these count:

  BOLT_TABLE          the guard's DynamoDB table
  BOLT_CONCURRENCY    how many messages are worked on at once: 10
  BOLT_LEASE_SECONDS  for how long the worker has a message, and makes that longer while it runs: 90
  BOLT_METRICS        "off", and the lines of the log are no metrics

SIGTERM or SIGINT: takes nothing more, ends when what runs has ended. A second one ends it at once.`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { 'queue-url': { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  const [path] = positionals;
  const queueUrl = values['queue-url'] ?? process.env.BOLT_QUEUE_URL;
  if (values.help) {
    console.log(USAGE);
    return;
  }
  if (path === undefined || positionals.length > 1 || !queueUrl) {
    console.error(USAGE);
    process.exitCode = 2;
    return;
  }
  const app = await loadApp(path);
  const receiver = receiverOf(app) ?? attached(app);
  stopOnSignal(receiver);
  await receiver.start({ queueUrl });
}

function attached(app: Parameters<SqsReceiver['init']>[0]): SqsReceiver {
  const receiver = new SqsReceiver();
  receiver.init(app);
  return receiver;
}

function stopOnSignal(receiver: SqsReceiver): void {
  let asked = false;
  const numbers = { SIGTERM: 15, SIGINT: 2 };
  for (const signal of Object.keys(numbers) as (keyof typeof numbers)[]) {
    process.on(signal, () => {
      if (asked) process.exit(128 + numbers[signal]);
      asked = true;
      // An app may keep timers or connections of its own, which would keep the process alive.
      receiver.stop().then(() => process.exit(0), fail);
    });
  }
}

function fail(error: unknown): never {
  // A problem that this package names needs no stack.
  console.error(error instanceof SlackIngressBoltError ? error.message : error);
  process.exit(1);
}

main().catch(fail);
