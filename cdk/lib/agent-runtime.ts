import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Names, Stack, Validations } from 'aws-cdk-lib';
import * as agentcore from 'aws-cdk-lib/aws-bedrockagentcore';
import * as iam from 'aws-cdk-lib/aws-iam';
import type * as s3_assets from 'aws-cdk-lib/aws-s3-assets';
import { Construct } from 'constructs';
import type { AgentTarget } from './agent-dispatch.ts';
import { type AgentGateway, agentCoreArn, shown } from './agent-gateway.ts';
import { CRATE } from './code.ts';

/** What `make agent-zip` leaves. */
export const AGENT_CODE = join(CRATE, 'target/agent');

/** The endpoint that is called. It follows the newest version, as `DEFAULT` does, but when the deployment says so. */
const ENDPOINT = 'live';

/** Model ids that begin so are inference profiles, by which AWS chooses the region. */
const PROFILE = /^(global|us|us-gov|eu|apac|jp|au|ca|sa)\./;

export interface AgentRuntimeProps {
  /**
   * The agent: a zip, or a directory, that holds `main.py` and what it imports, built for arm64 (that is not checked).
   * @default `AGENT_CODE`
   */
  readonly code?: string;
  /**
   * An agent of your own in its place, whatever it is: an image, code in S3. What its role lacks give to `role`.
   * @default `code`
   */
  readonly artifact?: agentcore.AgentRuntimeArtifact;
  /** Its tools. */
  readonly gateway: AgentGateway;
  /** What it thinks with: `echo`, or `bedrock:<model id>`. @default 'echo' */
  readonly thinking?: string;
  /** Further variables, for an agent of your own. */
  readonly environment?: Record<string, string>;
}

/** Where the agent runs: a Runtime, its endpoint and its role. */
export class AgentRuntime extends Construct implements AgentTarget {
  readonly runtime: agentcore.Runtime;
  readonly role: iam.Role;
  readonly runtimeArn: string;
  readonly qualifier = ENDPOINT;
  readonly endpointArn: string;

  constructor(scope: Construct, id: string, props: AgentRuntimeProps) {
    super(scope, id);
    const stack = Stack.of(this);
    const thinking = props.thinking ?? 'echo';
    const model = /^bedrock:([\w.:-]+)$/.exec(thinking)?.[1];
    if (thinking !== 'echo' && model === undefined) {
      throw new Error(`AgentRuntime: thinking is neither "echo" nor "bedrock:" and a model id: ${thinking}`);
    }
    if (props.code !== undefined && props.artifact) throw new Error('AgentRuntime: code and an artifact: one of them');
    const artifact = props.artifact ?? agentCode(resolve(props.code ?? AGENT_CODE));

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
      Validations.of(this.role).acknowledge({ id: `AwsSolutions-IAM5[Resource::${shown(resource)}]`, reason });

    grant(['bedrock-agentcore:InvokeGateway'], props.gateway.gateway.gatewayArn);
    // AgentCore makes the log with this role, a group for each endpoint.
    const groups = `arn:${stack.partition}:logs:${stack.region}:${stack.account}:log-group:`;
    const log = `${groups}/aws/bedrock-agentcore/runtimes/${name}-*`;
    grant(['logs:CreateLogGroup', 'logs:DescribeLogStreams'], log);
    grant(['logs:CreateLogStream', 'logs:PutLogEvents'], `${log}:log-stream:*`);
    grant(['logs:DescribeLogGroups'], `${groups}*`);
    acknowledge(log, "AgentCore ends the group's name in characters of its own; the rest of it is this runtime's alone.");
    acknowledge(`${log}:log-stream:*`, "Log streams of this runtime's groups; AgentCore names them.");
    acknowledge(`${groups}*`, 'DescribeLogGroups knows no narrower resource; it names groups and reads nothing in them.');
    if (model !== undefined) {
      for (const { arn, conditions } of modelsOf(this, model)) {
        grant(['bedrock:InvokeModel'], arn, conditions);
        if (arn.includes('*')) acknowledge(arn, 'This one model, in the regions that its inference profile chooses.');
      }
    }

    this.runtime = new agentcore.Runtime(this, 'Runtime', {
      runtimeName: name,
      description: 'slack-ingress: the agent',
      agentRuntimeArtifact: artifact,
      environmentVariables: { GATEWAY_URL: props.gateway.url, THINKING: thinking, ...props.environment },
      // The L2 would give it rights to all logs of all runtimes, to X-Ray and CloudWatch, which this agent does not
      // call, and to tokens of its identity, which AgentCore gets by a role of its own.
      executionRole: this.role.withoutPolicyUpdates(),
    });
    if (props.artifact) {
      // An artifact grants its fetching to the role of the runtime that it is bound to: here to the real one.
      artifact.bind(this.runtime, Object.create(this.runtime, { role: { value: this.role } }));
      acknowledge('*', "A registry's GetAuthorizationToken knows no resources.");
    } else {
      // It would grant the whole bucket, and with it every stack's assets.
      artifact.bind(this.runtime, this.runtime);
      const { bucket, s3ObjectKey } = this.runtime.node.findChild('AgentRuntimeArtifact') as s3_assets.Asset;
      grant(['s3:GetObject'], bucket.arnForObjects(s3ObjectKey));
    }
    const endpoint = new agentcore.RuntimeEndpoint(this, 'Endpoint', {
      endpointName: ENDPOINT,
      description: 'slack-ingress: what the dispatcher calls',
      agentRuntimeId: this.runtime.agentRuntimeId,
      agentRuntimeVersion: this.runtime.agentRuntimeVersion,
    });
    this.runtimeArn = this.runtime.agentRuntimeArn;
    this.endpointArn = endpoint.agentRuntimeEndpointArn;
  }
}

function agentCode(path: string): agentcore.AgentRuntimeArtifact {
  if (!existsSync(path)) throw new Error(`the agent's code is not there: ${path} (make agent-zip)`);
  const isDirectory = statSync(path).isDirectory();
  if (isDirectory ? !existsSync(join(path, 'main.py')) : !path.endsWith('.zip')) {
    throw new Error(`the agent's code is neither a .zip nor a directory that holds "main.py": ${path}`);
  }
  return agentcore.AgentRuntimeArtifact.fromCodeAsset({
    path,
    runtime: agentcore.AgentCoreRuntime.PYTHON_3_12,
    entrypoint: ['main.py'],
    exclude: ['.venv', '**/__pycache__'],
  });
}

/** What InvokeModel of one model is a call on. */
function modelsOf(scope: Construct, model: string): { arn: string; conditions?: iam.Conditions }[] {
  const { partition, region, account } = Stack.of(scope);
  if (!PROFILE.test(model)) return [{ arn: `arn:${partition}:bedrock:${region}::foundation-model/${model}` }];
  const profile = `arn:${partition}:bedrock:${region}:${account}:inference-profile/${model}`;
  return [
    { arn: profile },
    {
      arn: `arn:${partition}:bedrock:*::foundation-model/${model.replace(PROFILE, '')}`,
      conditions: { StringEquals: { 'bedrock:InferenceProfileArn': profile } },
    },
  ];
}
