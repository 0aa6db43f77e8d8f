// Bolt for JavaScript behind its receiver for Lambda, with the AWS SDK v3. Two calls, and none to confirm.

import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import bolt from '@slack/bolt';
import { serve } from './runtime.js';

const { App, AwsLambdaReceiver } = bolt;
const { TABLE_NAME, QUEUE_URL, SLACK_SIGNING_SECRET } = process.env;
const dynamodb = new DynamoDBClient({});
const sqs = new SQSClient({});

const receiver = new AwsLambdaReceiver({ signingSecret: SLACK_SIGNING_SECRET });
const app = new App({
  receiver,
  processBeforeResponse: true,
  // A token would be looked up at Slack with the first event.
  authorize: async () => ({ botToken: 'xoxb-none', botId: 'B1', botUserId: 'U1' }),
});

app.event('app_mention', async ({ body }) => {
  try {
    await dynamodb.send(
      new PutItemCommand({
        TableName: TABLE_NAME,
        Item: {
          event_id: { S: body.event_id },
          expires_at: { N: String(Math.floor(Date.now() / 1000) + 3600) },
        },
        ConditionExpression: 'attribute_not_exists(event_id)',
      }),
    );
  } catch (error) {
    if (error.name === 'ConditionalCheckFailedException') return;
    throw error;
  }
  await sqs.send(
    new SendMessageCommand({
      QueueUrl: QUEUE_URL,
      MessageBody: JSON.stringify(body),
      MessageGroupId: body.event.channel,
      MessageDeduplicationId: body.event_id,
    }),
  );
});

receiver.start().then(serve);
