// A consumer in TypeScript, with the types of the version of Bolt that it has. It is checked, and not run.
import type { APIGatewayProxyHandlerV2, SQSHandler } from 'aws-lambda';
import { App, MemoryInstallationStore } from '@slack/bolt';
import { installPages, type SqsEvent, type SqsHandler, SqsReceiver, sqsHandler } from 'slack-ingress-bolt';

const receiver = new SqsReceiver({
  table: 'events',
  clientId: '1.2', clientSecret: 'secret', stateSecret: 'state', scopes: ['chat:write'],
  installationStore: new MemoryInstallationStore(),
  customPropertiesExtractor: (record) => ({ received: record.attributes.SentTimestamp }),
});
const app = new App({ receiver });
app.command('/deploy', async ({ ack, say }) => {
  await ack('on it');
  await say('done');
});

export const handler: SQSHandler = receiver.toHandler();
export const pages: APIGatewayProxyHandlerV2 = installPages({
  clientId: '1.2', clientSecret: 'secret', stateSecret: 'state', scopes: ['chat:write'], installationStore: new MemoryInstallationStore(),
});
export const same: SqsHandler = sqsHandler(new App({ token: 'xoxb', signingSecret: 'secret' }));
export const started: Promise<SqsHandler> = receiver.start({ queueUrl: 'https://sqs.eu-central-1.amazonaws.com/1/q.fifo' });

// @ts-expect-error a misspelt option is an error
new SqsReceiver({ tabel: 'events' });
// @ts-expect-error what is no event of SQS is an error
const event: SqsEvent = { records: [] };
void event;
