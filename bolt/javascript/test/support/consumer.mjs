// The package as it is published, and the version of Bolt that this run is about, as a consumer has them.
import { createRequire } from 'node:module';
import { join } from 'node:path';

export const directory = process.env.CONSUMER;
if (!directory) throw new Error('CONSUMER is not set: run `make test-bolt-javascript`');
export const require = createRequire(join(directory, 'index.js'));
export const bolt = require('@slack/bolt');
export const { installPages, SqsReceiver, sqsHandler, SlackIngressBoltError } = require('slack-ingress-bolt');
