// A table and a queue for each test, as the stacks create them, in DynamoDB Local and MiniStack.
import { randomBytes } from 'node:crypto';
import { CreateTableCommand, DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { CreateQueueCommand, GetQueueAttributesCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';

export const dynamodb = new DynamoDBClient({});
export const sqs = new SQSClient({});

const unique = () => randomBytes(6).toString('hex');

export async function createTable() {
  const TableName = `guard-${unique()}`;
  await dynamodb.send(new CreateTableCommand({
    TableName,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [{ AttributeName: 'event_id', AttributeType: 'S' }],
    KeySchema: [{ AttributeName: 'event_id', KeyType: 'HASH' }],
  }));
  return TableName;
}

export async function item(TableName, id) {
  const { Item } = await dynamodb.send(new GetItemCommand({ TableName, Key: { event_id: { S: `bolt#${id}` } }, ConsistentRead: true }));
  return Item && Object.fromEntries(Object.entries(Item).map(([name, value]) => [name, value.S ?? Number(value.N)]));
}

export async function putItem(TableName, id, { state, owner = 'another', lease_until, expires_at }) {
  await dynamodb.send(new PutItemCommand({
    TableName,
    Item: {
      event_id: { S: `bolt#${id}` }, state: { S: state }, owner: { S: owner },
      lease_until: { N: String(lease_until) }, expires_at: { N: String(expires_at ?? Math.floor(Date.now() / 1000) + 3600) },
    },
  }));
}

export async function createQueue({ fifo = true } = {}) {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({
    QueueName: `events-${unique()}${fifo ? '.fifo' : ''}`,
    Attributes: { VisibilityTimeout: '300', ...(fifo ? { FifoQueue: 'true' } : {}) },
  }));
  return QueueUrl;
}

/** Puts a message on a queue as the ingress does. */
export async function send(QueueUrl, record) {
  const fifo = QueueUrl.endsWith('.fifo');
  await sqs.send(new SendMessageCommand({
    QueueUrl,
    MessageBody: record.body,
    MessageAttributes: Object.fromEntries(
      Object.entries(record.messageAttributes).map(([name, { stringValue }]) => [name, { DataType: 'String', StringValue: stringValue }]),
    ),
    ...(fifo ? { MessageGroupId: record.attributes.MessageGroupId, MessageDeduplicationId: unique() } : {}),
  }));
}

/** How many messages of a queue can be received, and how many are hidden. */
export async function depth(QueueUrl) {
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
  return { visible: Number(Attributes.ApproximateNumberOfMessages), hidden: Number(Attributes.ApproximateNumberOfMessagesNotVisible) };
}
