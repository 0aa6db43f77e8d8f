// The AgentCore Runtime in which the agent runs, its endpoint and its role.

import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Names, type RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as kms from 'aws-cdk-lib/aws-kms';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import type * as s3_assets from 'aws-cdk-lib/aws-s3-assets';
import { Construct } from 'constructs';
import type { AgentTarget } from './dispatch';
import { type AgentGateway, agentCoreArn, cdkNagSpelling } from './gateway';
import type { AgentMemory } from './memory';
import type { OwnAgent } from './props';
import { thinkingOf } from './thinking';

/**
 * The name of the endpoint that the dispatcher calls. A deployment moves it to the newest version of the agent; the
 * endpoint `DEFAULT` would move there by itself.
 */
const ENDPOINT = 'live';

/**
 * The id of an inference profile begins with one of these prefixes. With a profile, AWS chooses the region of the
 * model.
 */
const PROFILE_PREFIX = /^(global|us|us-gov|eu|apac|jp|au|ca|sa)\./;

export interface AgentRuntimeProps extends Omit<OwnAgent, 'trello' | 'memory'> {
  /** The Gateway with the agent's tools. */
  readonly gateway: AgentGateway;
  /** The function `agent-settle`, through which the agent claims and answers questions. */
  readonly settle: lambda.IFunction;
  /**
   * The targets whose tools agent-settle calls for the agent, those too that only read: their tokens are out of the agent's
   * reach. @default none
   */
  readonly workspaceTools?: string[];
  /** The tools that a person decides about: the agent calls them through agent-settle, whatever their names say. */
  readonly approvalTools?: string[];
  /** Whether the agent answers all questions that stand in a thread at once. @default false */
  readonly together?: boolean;
  /** What the agent remembers of people. It needs a model. @default nothing */
  readonly memory?: AgentMemory;
  /** How long the agent's log is kept. */
  readonly logRetention: logs.RetentionDays;
  readonly removalPolicy: RemovalPolicy;
  /** The key that its log is encrypted with. @default one of CloudWatch's own */
  readonly encryptionKey?: kms.IKey;
}

/** An AgentCore Runtime that runs the agent, with its endpoint and its role. */
export class AgentRuntime extends Construct implements AgentTarget {
  readonly runtime: agentcore.Runtime;
  readonly role: iam.Role;
  readonly runtimeArn: string;
  readonly qualifier = ENDPOINT;
  readonly endpointArn: string;

  constructor(scope: Construct, id: string, props: AgentRuntimeProps) {
    super(scope, id);
    const stack = Stack.of(this);
    const { text: thinking, framework, model } = thinkingOf(this, props.thinking);
    if (props.tools !== undefined && framework !== 'strands') {
      throw new Error(`AgentRuntime: tools need a model that uses them (thinking "strands:" and a model id), and it is: ${thinking}`);
    }
    if (props.memory && model === undefined) {
      throw new Error(`AgentRuntime: a memory needs a model that uses it (thinking "strands:" or "bedrock:" and a model id), and it is: ${thinking}`);
    }
    if (props.code !== undefined && props.artifact) throw new Error('AgentRuntime: code and artifact cannot both be given');
    const isTraced = props.tracing === 'adot';
    if (props.artifact && isTraced) {
      throw new Error('AgentRuntime: an artifact of your own starts as it says itself, so tracing has no effect on it');
    }
    if (props.code === undefined && !props.artifact) {
      throw new Error("AgentRuntime: the agent's code is needed: give code, or an artifact of your own");
    }
    const artifact = props.artifact ?? agentCode(resolve(props.code!), isTraced);

    const name = Names.uniqueResourceName(this, { maxLength: 48 });
    this.role = new iam.Role(this, 'Role', {
      description: 'slack-ingress: what the agent may do, and nothing more',
      assumedBy: new iam.ServicePrincipal('bedrock-agentcore.amazonaws.com', {
        conditions: {
          StringEquals: { 'aws:SourceAccount': stack.account },
          ArnLike: { 'aws:SourceArn': agentCoreArn(this, `runtime/${name}*`) },
        },
      }),
    });
    const grant = (actions: string[], resource: string, conditions?: iam.Conditions) =>
      this.role.addToPolicy(new iam.PolicyStatement({ actions, resources: [resource], conditions }));
    const acknowledge = (resource: string, reason: string) =>
      Validations.of(this.role).acknowledge({ id: `AwsSolutions-IAM5[Resource::${cdkNagSpelling(resource)}]`, reason });

    // Any code in the agent's machine can use this role: neither the queue nor the table is in it, nor agent-settle's
    // Gateway.
    grant(['bedrock-agentcore:InvokeGateway'], props.gateway.gateway.gatewayArn);
    grant(['lambda:InvokeFunction'], props.settle.functionArn);
    if (props.memory) {
      // It writes what was said and finds what was made of it. It lists nothing, reads nothing back and deletes nothing.
      grant(['bedrock-agentcore:CreateEvent', 'bedrock-agentcore:RetrieveMemoryRecords'], props.memory.memoryArn);
    }
    // AgentCore uses this role to create the log groups, one for each endpoint that has none yet.
    const groups = `arn:${stack.partition}:logs:${stack.region}:${stack.account}:log-group:`;
    const itsGroups = `${groups}/aws/bedrock-agentcore/runtimes/${name}-*`;
    grant(['logs:CreateLogGroup', 'logs:DescribeLogStreams'], itsGroups);
    grant(['logs:CreateLogStream', 'logs:PutLogEvents'], `${itsGroups}:log-stream:*`);
    grant(['logs:DescribeLogGroups'], `${groups}*`);
    acknowledge(itsGroups, "AgentCore adds characters to the group's name; the rest of the name belongs to this runtime alone.");
    acknowledge(`${itsGroups}:log-stream:*`, "The log streams in this runtime's groups, whose names AgentCore chooses.");
    acknowledge(`${groups}*`, 'DescribeLogGroups cannot be limited further; it lists the names of groups and reads no log.');
    if (isTraced) {
      grant(['xray:PutTraceSegments', 'xray:PutTelemetryRecords', 'xray:GetSamplingRules', 'xray:GetSamplingTargets'], '*');
      acknowledge('*', 'The actions of X-Ray cannot be limited to resources.');
    }
    if (model !== undefined) {
      for (const { arn, conditions } of modelsOf(this, model)) {
        // Strands has the answer streamed.
        grant([framework === 'strands' ? 'bedrock:InvokeModelWithResponseStream' : 'bedrock:InvokeModel'], arn, conditions);
        if (arn.includes('*')) acknowledge(arn, 'One model, in whichever region its inference profile chooses.');
      }
    }

    this.runtime = new agentcore.Runtime(this, 'Runtime', {
      runtimeName: name,
      description: 'slack-ingress: the agent',
      agentRuntimeArtifact: artifact,
      environmentVariables: {
        SETTLE_FUNCTION: props.settle.functionArn,
        GATEWAY_URL: props.gateway.url,
        THINKING: thinking,
        ANSWER: props.answer ?? 'post',
        ...(props.together ? { TURNS: 'together' } : {}),
        ...(props.tools === undefined ? {} : { TOOLS: props.tools }),
        ...(props.workspaceTools ? { WORKSPACE_TOOLS: props.workspaceTools.join(',') } : {}),
        ...(props.approvalTools ? { APPROVAL_TOOLS: props.approvalTools.join(',') } : {}),
        ...(props.memory ? { MEMORY_ID: props.memory.memoryId } : {}),
        // The distribution takes what was asked and answered out of a framework's spans, and would send it as log events.
        ...(isTraced ? { OTEL_LOGS_EXPORTER: 'none', OTEL_METRICS_EXPORTER: 'none' } : {}),
        ...props.environment,
      },
      // The construct would otherwise add rights to the logs of all runtimes, to X-Ray and CloudWatch, which this agent
      // does not call, and to the tokens of its identity, which AgentCore fetches with a role of its own.
      executionRole: this.role.withoutPolicyUpdates(),
    });
    if (props.artifact) {
      // `bind` grants the right to fetch the artifact to the role of the runtime that it is given. The runtime's own
      // role takes no grants (see above), so `bind` is given a copy of the runtime that has the real role.
      artifact.bind(this.runtime, Object.create(this.runtime, { role: { value: this.role } }));
      acknowledge('*', 'The GetAuthorizationToken of a registry cannot be limited to resources.');
    } else {
      // `bind` would grant reading the whole bucket, which contains the assets of every stack. The role gets one
      // object.
      artifact.bind(this.runtime, this.runtime);
      const { bucket, s3ObjectKey } = this.runtime.node.findChild('AgentRuntimeArtifact') as s3_assets.Asset;
      grant(['s3:GetObject'], bucket.arnForObjects(s3ObjectKey));
    }
    // AgentCore makes the log group of an endpoint if there is none, and that group is kept for ever. The group's name has the
    // runtime's id in it, which nobody knows before there is the runtime; and AgentCore cannot make the group of an endpoint that
    // does not exist. So it is made in between, and no custom resource is needed, which would come with a right to change the
    // retention of every log in the account. The group of the endpoint `DEFAULT`, which AgentCore makes together with the
    // runtime, is not the stack's; nobody calls that endpoint.
    const log = new logs.LogGroup(this, 'Log', {
      logGroupName: `/aws/bedrock-agentcore/runtimes/${this.runtime.agentRuntimeId}-${ENDPOINT}`,
      retention: props.logRetention,
      removalPolicy: props.removalPolicy,
      encryptionKey: props.encryptionKey,
    });
    const endpoint = new agentcore.RuntimeEndpoint(this, 'Endpoint', {
      endpointName: ENDPOINT,
      description: 'slack-ingress: what the dispatcher calls',
      agentRuntimeId: this.runtime.agentRuntimeId,
      agentRuntimeVersion: this.runtime.agentRuntimeVersion,
    });
    endpoint.node.addDependency(log);
    this.runtimeArn = this.runtime.agentRuntimeArn;
    this.endpointArn = endpoint.agentRuntimeEndpointArn;
  }
}

function agentCode(path: string, isTraced: boolean): agentcore.AgentRuntimeArtifact {
  if (!existsSync(path)) throw new Error(`the agent's code does not exist: ${path} (make agent-zip)`);
  const isDirectory = statSync(path).isDirectory();
  if (isDirectory ? !existsSync(join(path, 'main.py')) : !path.endsWith('.zip')) {
    throw new Error(`the agent's code must be a .zip or a directory that contains "main.py": ${path}`);
  }
  if (isTraced && isDirectory && !existsSync(join(path, 'amazon/opentelemetry/distro'))) {
    throw new Error(`the agent's code does not contain the AWS Distro for OpenTelemetry: ${path} (make agent-zip CONTEXT="-c agentTracing=adot")`);
  }
  return agentcore.AgentRuntimeArtifact.fromCodeAsset({
    path,
    runtime: agentcore.AgentCoreRuntime.PYTHON_3_12,
    entrypoint: isTraced ? ['opentelemetry-instrument', 'main.py'] : ['main.py'],
    exclude: ['.venv', '**/__pycache__'],
  });
}

/** The resources that a role must be allowed to invoke in order to call one model, with the conditions on them. */
function modelsOf(scope: Construct, model: string): { arn: string; conditions?: iam.Conditions }[] {
  const { partition, region, account } = Stack.of(scope);
  const here = `arn:${partition}:bedrock:${region}`;
  const prefix = PROFILE_PREFIX.exec(model)?.[0];
  if (prefix === undefined) return [{ arn: `${here}::foundation-model/${model}` }];
  const profile = `${here}:${account}:inference-profile/${model}`;
  const conditions = { StringEquals: { 'bedrock:InferenceProfileArn': profile } };
  const name = model.slice(prefix.length);
  // A global profile asks the model here, or the one that has no region, whose ARN says nothing between the colons (AWS's guide to
  // Bedrock, "Global cross-Region inference"). Which regions another profile chooses from is in no template.
  const models =
    prefix === 'global.'
      ? [`${here}::foundation-model/${name}`, `arn:${partition}:bedrock:::foundation-model/${name}`]
      : [`arn:${partition}:bedrock:*::foundation-model/${name}`];
  return [{ arn: profile }, ...models.map((arn) => ({ arn, conditions }))];
}
