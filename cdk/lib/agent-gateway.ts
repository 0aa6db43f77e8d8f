import { resolve } from 'node:path';
import { Names, type RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { openApiDocument } from './openapi.ts';
import { arnForPolicy } from './slack-ingress.ts';

/** What the tools of the target `slack` are made from, there and in the local demo. */
export const SLACK_DOCUMENT = resolve(import.meta.dirname, '../tools/slack.openapi.json');

/** Where a credential is in its secret's JSON, unless told otherwise. */
export const SECRET_KEY = 'token';

/** The longest that a gateway's name may be. */
const NAME_LENGTH = 48;

/**
 * `Authorization: Bearer …`. No space after it: people who tried report that the Gateway puts one there, and that two
 * make a 401 of many an API. The CDK's default has one.
 */
const BEARER = agentcore.ApiKeyCredentialLocation.header({
  credentialParameterName: 'Authorization',
  credentialPrefix: 'Bearer',
});

/** An API whose operations become tools. */
export interface ToolProps {
  /** A file with an OpenAPI 3.0 document, in JSON. Each operation becomes the tool `<id>___<operationId>`. */
  readonly document: string;
  /** A secret whose text is a JSON object that holds the API's credential. */
  readonly secret: secretsmanager.ISecret;
  /** The credential's key in that object. @default 'token' */
  readonly secretKey?: string;
  /** Where the API expects it. @default the header `Authorization: Bearer …` */
  readonly credentialLocation?: agentcore.ApiKeyCredentialLocation;
  /** @default the document's title */
  readonly description?: string;
}

/**
 * The agent's tools: a Gateway that speaks MCP to who may call it by IAM, and puts the credential in itself, so that the
 * agent never has it. Each API is one call of `addTool`.
 */
export class AgentGateway extends Construct {
  readonly gateway: agentcore.Gateway;
  /** `https://…/mcp`. */
  readonly url: string;
  readonly role: iam.Role;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    const stack = Stack.of(this);
    // In small letters, as AgentCore has it in the id.
    const name = Names.uniqueResourceName(this, { maxLength: NAME_LENGTH, separator: '-' }).toLowerCase();
    this.role = new iam.Role(this, 'Role', {
      description: "slack-ingress: what the agent's gateway may do, and nothing more",
      assumedBy: new iam.ServicePrincipal('bedrock-agentcore.amazonaws.com', {
        conditions: {
          StringEquals: { 'aws:SourceAccount': stack.account },
          ArnLike: { 'aws:SourceArn': agentCoreArn(this, `gateway/${name}-??????????`) },
        },
      }),
    });
    const directory = agentCoreArn(this, 'workload-identity-directory/default');
    const identity = `${directory}/workload-identity/${name}-*`;
    // The gateway's identity, by which it is given the credentials below, and the vault that gives them.
    this.grant(['bedrock-agentcore:GetWorkloadAccessToken'], [directory, identity]);
    this.grant(
      ['bedrock-agentcore:GetResourceApiKey'],
      [agentCoreArn(this, 'token-vault/default'), directory, identity],
    );
    Validations.of(this.role).acknowledge({
      id: `AwsSolutions-IAM5[Resource::${shown(identity)}]`,
      reason: "AgentCore ends its identity's name in characters of its own; the rest of it is this gateway's alone.",
    });

    this.gateway = new agentcore.Gateway(this, 'Gateway', {
      gatewayName: name,
      description: "slack-ingress: the agent's tools",
      authorizerConfiguration: agentcore.GatewayAuthorizer.usingAwsIam(),
      protocolConfiguration: agentcore.GatewayProtocol.mcp({
        supportedVersions: [agentcore.MCPProtocolVersion.MCP_2025_06_18, agentcore.MCPProtocolVersion.MCP_2025_03_26],
      }),
      // Else a tool that fails says "an internal error", and the agent cannot tell a rate limit, which it waits for, from
      // an outcome that nobody knows. Only who may call the gateway reads it.
      exceptionLevel: agentcore.GatewayExceptionLevel.DEBUG,
      // The L2's grants are wider than they need be.
      role: this.role.withoutPolicyUpdates(),
    });
    this.gateway.node.addDependency(this.role);
    this.url = this.gateway.gatewayUrl!;
  }

  /**
   * Makes tools of an API's operations.
   *
   * @throws of a document that AgentCore would not take
   */
  addTool(id: string, props: ToolProps): agentcore.CfnGatewayTarget {
    const document = openApiDocument(props.document, id);
    const { secret } = props;
    const location = props.credentialLocation ?? BEARER;
    const scope = new Construct(this, `Tool-${id}`);
    const provider = new agentcore.CfnApiKeyCredentialProvider(scope, 'Credential', {
      name: Names.uniqueResourceName(scope, { maxLength: 128, separator: '-' }),
      apiKeySecretSource: 'EXTERNAL',
      apiKeySecretConfig: { secretId: secret.secretArn, jsonKey: props.secretKey ?? SECRET_KEY },
    });
    this.grant(['bedrock-agentcore:GetResourceApiKey'], [provider.attrCredentialProviderArn]);
    this.grant(['secretsmanager:GetSecretValue'], [arnForPolicy(secret)]);
    const key = secret.encryptionKey;
    if (key) {
      const service = `secretsmanager.${Stack.of(this).region}.amazonaws.com`;
      this.grant(['kms:Decrypt'], [key.keyArn], { StringEquals: { 'kms:ViaService': service } });
    }
    const target = new agentcore.CfnGatewayTarget(scope, 'Target', {
      gatewayIdentifier: this.gateway.gatewayId,
      name: id,
      description: props.description ?? document.info.title,
      targetConfiguration: { mcp: { openApiSchema: { inlinePayload: JSON.stringify(document) } } },
      credentialProviderConfigurations: [
        {
          credentialProviderType: 'API_KEY',
          credentialProvider: {
            apiKeyCredentialProvider: {
              providerArn: provider.attrCredentialProviderArn,
              credentialLocation: location.credentialLocationType,
              credentialParameterName: location.credentialParameterName,
              credentialPrefix: location.credentialPrefix || undefined,
            },
          },
        },
      ],
    });
    // Its rights before it: AgentCore may look at once.
    target.node.addDependency(this.role);
    return target;
  }

  private grant(actions: string[], resources: string[], conditions?: iam.Conditions): void {
    this.role.addToPolicy(new iam.PolicyStatement({ actions, resources, conditions }));
  }
}

/** With a value that nobody knows, to be replaced by the bot token, in JSON as AgentCore asks for it. */
export function botTokenSecret(scope: Construct, id: string, removalPolicy: RemovalPolicy): secretsmanager.Secret {
  const secret = new secretsmanager.Secret(scope, id, {
    description: `slack-ingress: the Slack app's bot token, as {"${SECRET_KEY}": "xoxb-…"}`,
    generateSecretString: {
      secretStringTemplate: '{}',
      generateStringKey: SECRET_KEY,
      passwordLength: 64,
      excludePunctuation: true,
    },
    removalPolicy,
  });
  Validations.of(secret).acknowledge({
    id: 'AwsSolutions-SMG4',
    reason: 'Slack makes the token, and Secrets Manager cannot rotate it.',
  });
  return secret;
}

/** The ARN of something of AgentCore's, in this account and region. */
export function agentCoreArn(scope: Construct, resource: string): string {
  const { partition, region, account } = Stack.of(scope);
  return `arn:${partition}:bedrock-agentcore:${region}:${account}:${resource}`;
}

/** An ARN as cdk-nag names it in a finding: `<AWS::Region>` for a reference. */
export function shown(arn: string): string {
  return arn.replace(/\$\{Token\[(AWS\.\w+)\.\d+\]\}/g, (_, name: string) => `<${name.replace('.', '::')}>`);
}
