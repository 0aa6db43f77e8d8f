// The credential of an API, as the Gateways use it.

import { Names, Stack } from 'aws-cdk-lib';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { arnForPolicy } from '../common/secret.ts';

/** The default key of the credential in the JSON object that the secret contains. */
export const SECRET_KEY = 'token';

export interface ApiCredentialProps {
  /** A secret whose text is a JSON object that contains the credential. */
  readonly secret: secretsmanager.ISecret;
  /** The key of the credential in that object. @default 'token' */
  readonly secretKey?: string;
}

/** An entry of AgentCore's token vault that refers to a credential in a secret. Several Gateways may use one entry. */
export class ApiCredential extends Construct {
  readonly providerArn: string;
  private readonly secret: secretsmanager.ISecret;

  constructor(scope: Construct, id: string, { secret, secretKey }: ApiCredentialProps) {
    super(scope, id);
    this.secret = secret;
    const provider = new agentcore.CfnApiKeyCredentialProvider(this, 'Provider', {
      name: Names.uniqueResourceName(this, { maxLength: 128, separator: '-' }),
      apiKeySecretSource: 'EXTERNAL',
      apiKeySecretConfig: { secretId: secret.secretArn, jsonKey: secretKey ?? SECRET_KEY },
    });
    this.providerArn = provider.attrCredentialProviderArn;
  }

  /** Lets a Gateway's role read the credential, and the secret that it is in. */
  grantRead(role: iam.Role): void {
    const grant = (actions: string[], resource: string, conditions?: iam.Conditions) =>
      role.addToPolicy(new iam.PolicyStatement({ actions, resources: [resource], conditions }));
    grant(['bedrock-agentcore:GetResourceApiKey'], this.providerArn);
    grant(['secretsmanager:GetSecretValue'], arnForPolicy(this.secret));
    const key = this.secret.encryptionKey;
    if (key) {
      const service = `secretsmanager.${Stack.of(this).region}.amazonaws.com`;
      grant(['kms:Decrypt'], key.keyArn, { StringEquals: { 'kms:ViaService': service } });
    }
  }
}
