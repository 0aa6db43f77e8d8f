// Rights to use a KMS key of one's own, and what its policy must say for the logs.

import { Stack } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';

/** The actions that an identity needs on a key, by what it does. */
export const KEY_USE = {
  /** SQS and SNS have a data key made for a message, and decrypted to check it; so does Secrets Manager for a new value. */
  write: ['kms:Decrypt', 'kms:GenerateDataKey'],
  /** DynamoDB has its table key decrypted in the name of whoever reads or writes the table, and so do the others for a reader. */
  read: ['kms:Decrypt'],
};

/**
 * Returns the right to use a key through one service of this region, and in no other way: whoever has it can encrypt and decrypt
 * nothing by themselves.
 */
export function throughService(
  scope: Construct,
  service: 'dynamodb' | 's3' | 'secretsmanager' | 'sns' | 'sqs',
  actions: string[],
  ...keys: kms.IKey[]
): iam.PolicyStatement {
  return new iam.PolicyStatement({
    actions,
    resources: keys.map((key) => key.keyArn),
    conditions: { StringEquals: { 'kms:ViaService': `${service}.${Stack.of(scope).region}.amazonaws.com` } },
  });
}

/**
 * Lets CloudWatch Logs of this region encrypt log groups with a key. It does so as itself and in nobody's name, so the key's own
 * policy must say it. The policy of an imported key cannot be changed from here: docs/deploy.md has the statement.
 */
export function allowLogs(scope: Construct, key: kms.IKey): void {
  const { partition, region, account } = Stack.of(scope);
  key.addToResourcePolicy(
    new iam.PolicyStatement({
      principals: [new iam.ServicePrincipal(`logs.${region}.amazonaws.com`)],
      actions: ['kms:Encrypt*', 'kms:Decrypt*', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:Describe*'],
      resources: ['*'],
      conditions: {
        ArnLike: { 'kms:EncryptionContext:aws:logs:arn': `arn:${partition}:logs:${region}:${account}:log-group:*` },
      },
    }),
  );
}
