import { randomBytes } from 'node:crypto';
import type * as Sdk from '@aws-sdk/client-dynamodb';
import { answersWithin, sdk } from './aws';
import type { Begin, Claim, Guard } from './guard';

const PREFIX = 'bolt#';

/** A queue keeps a message for 14 days at most; an hour more than that is kept a record. */
const KEPT_SECONDS = 14 * 24 * 3600 + 3600;

/** Where a record cannot be claimed although it is there: it is neither expired nor a lease that is over. */
const IS_FREE = 'attribute_not_exists(event_id) OR expires_at <= :now_s OR (#state = :running AND lease_until < :now_ms)';
const IS_MINE = '#owner = :owner';

/** The guard in a DynamoDB table: its own, or the ingress's. */
export class DynamoDbGuard implements Guard {
  readonly #table: string;
  readonly #sdk: typeof Sdk;
  readonly #client: Sdk.DynamoDBClient;

  constructor(table: string) {
    this.#table = table;
    this.#sdk = sdk('@aws-sdk/client-dynamodb') as typeof Sdk;
    // Three attempts of two seconds, where the SDK's default would wait for an answer without an end.
    this.#client = new this.#sdk.DynamoDBClient({ maxAttempts: 3, requestHandler: answersWithin(2_000) });
  }

  async begin(id: string, leaseUntil: number): Promise<Begin> {
    const owner = randomBytes(16).toString('hex');
    const now = Date.now();
    let ackWasShown = false;
    try {
      // An update, which leaves `ack` as it is: a process that is killed after this must not make it forgotten.
      const { Attributes } = await this.#client.send(new this.#sdk.UpdateItemCommand({
        TableName: this.#table,
        Key: { event_id: { S: PREFIX + id } },
        UpdateExpression: 'SET #state = :running, #owner = :owner, lease_until = :until, expires_at = :expires',
        ConditionExpression: IS_FREE,
        ExpressionAttributeNames: { '#state': 'state', '#owner': 'owner' },
        ExpressionAttributeValues: {
          ':now_s': number(seconds(now)), ':now_ms': number(now), ':running': { S: 'running' }, ':owner': { S: owner },
          ':until': number(leaseUntil), ':expires': number(seconds(now) + KEPT_SECONDS),
        },
        ReturnValues: 'ALL_NEW',
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      }));
      ackWasShown = Attributes?.ack?.S === 'sent';
    } catch (error) {
      if (!(error instanceof this.#sdk.ConditionalCheckFailedException)) throw error;
      const item = error.Item ?? {};
      if (item.state?.S === 'done') return { found: 'done' };
      // The SDK sent it again after an answer that was lost, and finds its own record.
      if (item.owner?.S !== owner) return { found: 'running', leaseUntil: Number(item.lease_until?.N ?? leaseUntil) };
      ackWasShown = item.ack?.S === 'sent';
    }
    return { found: 'nothing', claim: this.#claim(PREFIX + id, owner, ackWasShown) };
  }

  #claim(key: string, owner: string, ackWasShown: boolean): Claim {
    const update = (expression: string, values: Record<string, Sdk.AttributeValue>, names: Record<string, string>) =>
      this.#ifMine(() => this.#client.send(new this.#sdk.UpdateItemCommand({
        TableName: this.#table,
        Key: { event_id: { S: key } },
        UpdateExpression: expression,
        ConditionExpression: IS_MINE,
        ExpressionAttributeNames: { '#owner': 'owner', ...names },
        ExpressionAttributeValues: { ':owner': { S: owner }, ...values },
      })));
    return {
      ackWasShown,
      extend: (leaseUntil) => update('SET lease_until = :until', { ':until': number(leaseUntil) }, {}),
      done: () => update(
        'SET #state = :done, expires_at = :expires REMOVE lease_until, ack',
        { ':done': { S: 'done' }, ':expires': number(seconds(Date.now()) + KEPT_SECONDS) },
        { '#state': 'state' },
      ),
      failed: async (ackShown) => {
        // The item stays, with a lease that is over. Nobody owns it, so that a renewal that is late does not bring it back.
        if (ackShown) {
          await update('SET lease_until = :zero, ack = :sent REMOVE #owner', { ':zero': number(0), ':sent': { S: 'sent' } }, {});
          return;
        }
        await this.#ifMine(() => this.#client.send(new this.#sdk.DeleteItemCommand({
          TableName: this.#table,
          Key: { event_id: { S: key } },
          ConditionExpression: IS_MINE,
          ExpressionAttributeNames: { '#owner': 'owner' },
          ExpressionAttributeValues: { ':owner': { S: owner } },
        })));
      },
    };
  }

  /** False if the record is another owner's, or gone. */
  async #ifMine(write: () => Promise<unknown>): Promise<boolean> {
    try {
      await write();
      return true;
    } catch (error) {
      if (error instanceof this.#sdk.ConditionalCheckFailedException) return false;
      throw error;
    }
  }
}

const seconds = (milliseconds: number): number => Math.floor(milliseconds / 1000);
const number = (value: number): Sdk.AttributeValue => ({ N: String(value) });
