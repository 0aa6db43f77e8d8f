// The credential of an API, as the Gateways use it, and a secret for one that nobody has put yet.

import { Names, type RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { arnForPolicy } from '../common/secret';

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
    const grant: Grant = (actions, resource, conditions) =>
      role.addToPolicy(new iam.PolicyStatement({ actions, resources: [resource], conditions }));
    grant(['bedrock-agentcore:GetResourceApiKey'], this.providerArn);
    grantReadSecret(this.secret, grant);
  }
}

/** Has a right granted: to do these actions with this resource. */
export type Grant = (actions: string[], resource: string, conditions?: iam.Conditions) => void;

/** Grants to read a secret, and to decrypt it if it has a key of its own. */
export function grantReadSecret(secret: secretsmanager.ISecret, grant: Grant): void {
  grant(['secretsmanager:GetSecretValue'], arnForPolicy(secret));
  const key = secret.encryptionKey;
  if (key) {
    const service = `secretsmanager.${Stack.of(secret).region}.amazonaws.com`;
    grant(['kms:Decrypt'], key.keyArn, { StringEquals: { 'kms:ViaService': service } });
  }
}

/** How a secret is kept that is created here. */
export interface SecretStorage {
  readonly removalPolicy: RemovalPolicy;
  /** The KMS key that it is encrypted with. @default a key of AWS's */
  readonly encryptionKey?: kms.IKey;
}

export interface CredentialSecretProps extends SecretStorage {
  readonly description: string;
  /** The key of the credential in the JSON object that the secret contains. */
  readonly key: string;
  /** Why Secrets Manager does not rotate the secret, for cdk-nag. */
  readonly whyItIsNotRotated: string;
}

/**
 * Creates a secret with a random value, in the JSON that AgentCore expects. Somebody replaces the value with the
 * credential.
 */
export function credentialSecret(scope: Construct, id: string, props: CredentialSecretProps): secretsmanager.Secret {
  const secret = new secretsmanager.Secret(scope, id, {
    description: props.description,
    generateSecretString: {
      secretStringTemplate: '{}',
      generateStringKey: props.key,
      passwordLength: 64,
      excludePunctuation: true,
    },
    encryptionKey: props.encryptionKey,
    removalPolicy: props.removalPolicy,
  });
  Validations.of(secret).acknowledge({ id: 'AwsSolutions-SMG4', reason: props.whyItIsNotRotated });
  return secret;
}
