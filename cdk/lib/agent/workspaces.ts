// Several installations of the app: for each a bot token, and targets of the Gateways that act by it.

import { Stack } from 'aws-cdk-lib';
import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { ApiCredential, type SecretStorage, credentialSecret } from './credential';
import {
  AgentGateway,
  CANVASES_DOCUMENT,
  CANVASES_TARGET,
  SETTLE_DOCUMENT,
  SLACK_DOCUMENT,
  SLACK_TARGET,
  botTokenSecret,
} from './gateway';
import type { WorkspacesProps } from './props';

/** The targets whose tools act by the bot token of an installation, with their documents. */
const WORKSPACE_TOOLS = { [SLACK_TARGET]: SLACK_DOCUMENT, [CANVASES_TARGET]: CANVASES_DOCUMENT };

/** The bot token of an installation. */
export interface Installation {
  /** The id of the workspace or of the organisation. */
  readonly tenant: string;
  /** The target of agent-settle's Gateway that has its token. */
  readonly target: string;
  readonly secret: secretsmanager.ISecret;
  /** Whether the stack has created the secret, so that somebody has to put the token. */
  readonly isCreated: boolean;
  readonly credential: ApiCredential;
}

export interface WorkspacesConstructProps extends WorkspacesProps {
  readonly secret: secretsmanager.ISecret;
  readonly credential: ApiCredential;
  readonly settleGateway: AgentGateway;
  /** How the secrets are kept that are created. */
  readonly storage: SecretStorage;
}

/** The installations: secrets for their tokens, and a target for each on agent-settle's Gateway. */
export class Workspaces extends Construct {
  /** The first is the one that the stack has anyway. */
  readonly installations: Installation[];
  private readonly storage: SecretStorage;

  /** @throws Error if a name is no id of Slack's, or stands twice; if a secret does, or is named after another installation */
  constructor(scope: Construct, id: string, props: WorkspacesConstructProps) {
    super(scope, id);
    const { first, more = [], secret, credential, settleGateway, storage } = props;
    this.storage = storage;
    const others = more.map((it) => (typeof it === 'string' ? { tenant: it, secret: undefined } : it));
    const tenants = [first, ...others.map((it) => it.tenant)];
    const wrong = tenants.find((it) => !/^[TE][A-Z0-9]+$/.test(it));
    if (wrong !== undefined) {
      throw new Error(`Workspaces: each must be the id of a workspace (T…) or of an organisation (E…), and one is: ${wrong}`);
    }
    const twice = tenants.find((it, index) => tenants.indexOf(it) !== index);
    if (twice !== undefined) throw new Error(`Workspaces: ${twice} stands twice`);
    checkSecrets([{ tenant: first, secret }, ...others]);
    this.installations = [
      { tenant: first, target: SLACK_TARGET, secret, isCreated: false, credential },
      ...others.map(({ tenant, secret: given }) => {
        const target = targetOf(SLACK_TARGET, tenant);
        const scope = new Construct(this, tenant);
        const secret = given ?? botTokenSecret(scope, 'BotToken', storage, ` in ${tenant}`);
        const credential = new ApiCredential(scope, 'BotTokenCredential', { secret });
        settleGateway._addTool(target, { document: SETTLE_DOCUMENT }, () => credential);
        return { tenant, target, secret, isCreated: given === undefined, credential };
      }),
    ];
  }

  /** Whether there are several, so that the agent may reach none of their tokens. */
  get areSeveral(): boolean {
    return this.installations.length > 1;
  }

  /** The value of `GATEWAY_TARGETS`. */
  get targets(): string {
    return JSON.stringify(Object.fromEntries(this.installations.map((it) => [it.tenant, it.target])));
  }

  /** The value of `SLACK_BOT_TOKEN_ARN`: for each installation the secret that has its token alone. */
  get secrets(): string {
    return Stack.of(this).toJsonString(Object.fromEntries(this.installations.map((it) => [it.tenant, it.secret.secretArn])));
  }

  /**
   * Creates the Gateway by which agent-settle calls the model's tools in each workspace. The agent may not call it: any code
   * in the agent's machine has its role, and would have the tokens of all tenants.
   */
  toolsGateway(): AgentGateway {
    const gateway = new AgentGateway(this, 'Tools', { description: 'what a model does in each workspace' });
    for (const { tenant, credential } of this.installations) {
      for (const [name, document] of Object.entries(WORKSPACE_TOOLS)) {
        gateway._addTool(targetOf(name, tenant), { document }, () => credential);
      }
    }
    return gateway;
  }

  /**
   * Creates the credential of Slack's targets on the agent's own Gateway. There a model finds which tools there are. What is
   * called there reaches Slack with a value that is no token, and Slack refuses it.
   */
  noToken(): ApiCredential {
    const secret = credentialSecret(this, 'NoToken', {
      description: 'slack-ingress: no token. Put none here: the agent could act with it in the name of every workspace',
      key: 'token',
      whyItIsNotRotated: 'It is no credential of anything.',
      ...this.storage,
    });
    return new ApiCredential(this, 'NoTokenCredential', { secret });
  }
}

/** The names of the targets whose tools agent-settle calls by the token of the question's own installation. */
export const WORKSPACE_TARGETS = Object.keys(WORKSPACE_TOOLS);

/** Checks that each secret is one installation's, and none is that of another by the name that `slack-dev install` gives. */
function checkSecrets(all: { tenant: string; secret?: secretsmanager.ISecret }[]): void {
  const given = all.flatMap(({ tenant, secret }) => (secret ? [{ tenant, name: withoutSuffix(secret) }] : []));
  for (const [index, { tenant, name }] of given.entries()) {
    const before = given.slice(0, index).find((it) => it.name === name);
    if (before) throw new Error(`Workspaces: the secret of ${tenant} is that of ${before.tenant}: a bot token belongs to one installation`);
    const named = /:secret:slack-ingress\/bot-token\/([TE][A-Z0-9]+)$/.exec(name)?.[1];
    if (named !== undefined && named !== tenant) throw new Error(`Workspaces: the secret of ${tenant} is named after ${named}`);
  }
}

/** A secret's ARN without the six random characters at its end, which are unknown of one that was imported by its name. */
function withoutSuffix(secret: secretsmanager.ISecret): string {
  return secret.secretFullArn?.replace(/-\w{6}$/, '') ?? secret.secretArn;
}

/** The name of an installation's target. agent-settle makes it likewise: src/gateway/tools_gateway.rs. */
function targetOf(name: string, tenant: string): string {
  return `${name}-${tenant.toLowerCase()}`;
}
