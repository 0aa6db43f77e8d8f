// An AgentCore Gateway: tools are called through it, and only the Gateway knows the tools' credentials. There are two: one
// with the agent's tools, and one with what agent-settle does in Slack, which the agent may not call.

import { resolve } from 'node:path';
import { Names, Stack, Validations } from 'aws-cdk-lib';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { ApiCredential, SECRET_KEY, type SecretStorage, credentialSecret } from './credential';
import { openApiDocument } from './openapi';

/** The target whose tools call Slack, on both Gateways. A tool's name begins with it: `slack___post_to_slack`. */
export const SLACK_TARGET = 'slack';

/** The OpenAPI document of what the agent may do in Slack by itself. The local demo uses the same document. */
export const SLACK_DOCUMENT = resolve(__dirname, '../../tools/slack.openapi.json');

/** The target whose tools create and change canvases in Slack, on the agent's Gateway. */
export const CANVASES_TARGET = 'canvases';

/** The OpenAPI document of what the agent may do with Slack's canvases. The local demo uses the same document. */
export const CANVASES_DOCUMENT = resolve(__dirname, '../../tools/slack_canvases.openapi.json');

/**
 * The OpenAPI document of what agent-settle does in Slack: it posts with a mark, finds a post by its mark, and shows that
 * somebody works.
 */
export const SETTLE_DOCUMENT = resolve(__dirname, '../../tools/settle.openapi.json');

/** AgentCore's limit on the length of a gateway's name. */
const MAX_NAME_LENGTH = 48;

/**
 * The header `Authorization: Bearer …`. The prefix ends without a space, unlike the CDK's default: according to people
 * who tried it, the Gateway adds a space itself, and many APIs answer 401 to two spaces.
 */
const BEARER = agentcore.ApiKeyCredentialLocation.header({
  credentialParameterName: 'Authorization',
  credentialPrefix: 'Bearer',
});

/** The properties of an API whose operations become tools. */
export interface ToolProps {
  /** The path of an OpenAPI 3.0 or 3.1 document in JSON. Each operation becomes the tool `<id>___<operationId>`. */
  readonly document: string;
  /** A secret whose text is a JSON object that contains the API's credential. */
  readonly secret: secretsmanager.ISecret;
  /** The key of the credential in that object. @default 'token' */
  readonly secretKey?: string;
  /** Where the API expects the credential. @default the header `Authorization: Bearer …` */
  readonly credentialLocation?: agentcore.ApiKeyCredentialLocation;
  /** @default the document's title */
  readonly description?: string;
}

export interface AgentGatewayProps {
  /** What the Gateway is for. @default "the agent's tools" */
  readonly description?: string;
}

/**
 * Tools: a Gateway that offers them by MCP to callers that IAM lets in. The Gateway adds the credential to a call itself,
 * so the caller never has it. Each API is added with one call of `addTool`.
 */
export class AgentGateway extends Construct {
  readonly gateway: agentcore.Gateway;
  /** The Gateway's MCP endpoint, `https://…/mcp`. */
  readonly url: string;
  readonly role: iam.Role;
  /**
   * The names of the tools that were added.
   * @internal
   */
  readonly _tools: string[] = [];

  constructor(scope: Construct, id: string, props: AgentGatewayProps = {}) {
    super(scope, id);
    const { description = "the agent's tools" } = props;
    const stack = Stack.of(this);
    // In lower case, because AgentCore makes the gateway's id from the name in lower case.
    const name = Names.uniqueResourceName(this, { maxLength: MAX_NAME_LENGTH, separator: '-' }).toLowerCase();
    this.role = new iam.Role(this, 'Role', {
      description: `slack-ingress: what the gateway with ${description} may do, and nothing more`,
      assumedBy: new iam.ServicePrincipal('bedrock-agentcore.amazonaws.com', {
        conditions: {
          StringEquals: { 'aws:SourceAccount': stack.account },
          ArnLike: { 'aws:SourceArn': agentCoreArn(this, `gateway/${name}-??????????`) },
        },
      }),
    });
    const directory = agentCoreArn(this, 'workload-identity-directory/default');
    const identity = `${directory}/workload-identity/${name}-*`;
    // The Gateway asks AgentCore's token vault for the credentials below, and identifies itself by its workload
    // identity.
    this.grant(['bedrock-agentcore:GetWorkloadAccessToken'], [directory, identity]);
    this.grant(
      ['bedrock-agentcore:GetResourceApiKey'],
      [agentCoreArn(this, 'token-vault/default'), directory, identity],
    );
    Validations.of(this.role).acknowledge({
      id: `AwsSolutions-IAM5[Resource::${cdkNagSpelling(identity)}]`,
      reason: "AgentCore adds random characters to the name of the identity; the rest of the name belongs to this gateway alone.",
    });

    this.gateway = new agentcore.Gateway(this, 'Gateway', {
      gatewayName: name,
      description: `slack-ingress: ${description}`,
      authorizerConfiguration: agentcore.GatewayAuthorizer.usingAwsIam(),
      protocolConfiguration: agentcore.GatewayProtocol.mcp({
        supportedVersions: [agentcore.MCPProtocolVersion.MCP_2025_06_18, agentcore.MCPProtocolVersion.MCP_2025_03_26],
      }),
      // Without DEBUG, the result of a tool that failed says only "an internal error". The caller could then not tell a
      // rate limit, after which it may call again, from a call whose outcome is unknown. Only callers of the Gateway see
      // the message.
      exceptionLevel: agentcore.GatewayExceptionLevel.DEBUG,
      // The construct would otherwise add grants that are wider than necessary.
      role: this.role.withoutPolicyUpdates(),
    });
    this.gateway.node.addDependency(this.role);
    this.url = this.gateway.gatewayUrl!;
  }

  /**
   * Adds a tool for each operation of an API. It is an error if AgentCore would not accept the document.
   */
  addTool(id: string, props: ToolProps): agentcore.CfnGatewayTarget {
    return this._addTool(id, props, (scope) => new ApiCredential(scope, 'Credential', props));
  }

  /**
   * The same with a credential that another Gateway may use too.
   *
   * @internal
   */
  _addTool(
    id: string,
    props: Omit<ToolProps, 'secret' | 'secretKey'>,
    credentialIn: (scope: Construct) => ApiCredential,
  ): agentcore.CfnGatewayTarget {
    const document = openApiDocument(props.document, id);
    const operations = Object.values(document.paths).flatMap((item) => Object.values(item));
    this._tools.push(...operations.flatMap(({ operationId }) => (operationId === undefined ? [] : [`${id}___${operationId}`])));
    const location = props.credentialLocation ?? BEARER;
    const scope = new Construct(this, `Tool-${id}`);
    const credential = credentialIn(scope);
    credential.grantRead(this.role);
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
              providerArn: credential.providerArn,
              credentialLocation: location.credentialLocationType,
              credentialParameterName: location.credentialParameterName,
              credentialPrefix: location.credentialPrefix || undefined,
            },
          },
        },
      ],
    });
    // The role must have its rights before the target is created: AgentCore may use them at once.
    target.node.addDependency(this.role);
    return target;
  }

  private grant(actions: string[], resources: string[], conditions?: iam.Conditions): void {
    this.role.addToPolicy(new iam.PolicyStatement({ actions, resources, conditions }));
  }
}

/** Creates a secret with a random value. Somebody replaces the value with the bot token. `where` is for the description. */
export function botTokenSecret(
  scope: Construct,
  id: string,
  storage: SecretStorage,
  where = '',
): secretsmanager.Secret {
  return credentialSecret(scope, id, {
    description: `slack-ingress: the Slack app's bot token${where}, as {"${SECRET_KEY}": "xoxb-…"}`,
    key: SECRET_KEY,
    whyItIsNotRotated: 'Slack creates the token, and Secrets Manager cannot rotate it.',
    ...storage,
  });
}

/** Returns the ARN of an AgentCore resource in this account and region. */
export function agentCoreArn(scope: Construct, resource: string): string {
  const { partition, region, account } = Stack.of(scope);
  return `arn:${partition}:bedrock-agentcore:${region}:${account}:${resource}`;
}

/** Returns an ARN as cdk-nag spells it in a finding, with `<AWS::Region>` in place of a reference. */
export function cdkNagSpelling(arn: string): string {
  return arn.replace(/\$\{Token\[(AWS\.\w+)\.\d+\]\}/g, (_, name: string) => `<${name.replace('.', '::')}>`);
}
