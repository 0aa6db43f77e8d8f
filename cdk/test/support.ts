import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after } from 'node:test';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { dispatchVisibility } from '../lib/agent-dispatch.ts';
import { type AgentProps, AgentStack } from '../lib/agent-stack.ts';
import { SlackIngress, type SlackIngressProps } from '../lib/slack-ingress.ts';

export const REPOSITORY = resolve(import.meta.dirname, '../..');

/** All of the Rust: a name that is read or sent may be in any file. */
export function rustSource(): string {
  const source = join(REPOSITORY, 'src');
  return readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.rs'))
    .map((file) => readFileSync(join(source, file), 'utf8'))
    .join('\n');
}

/** As the CLI would set it. */
export const CONTEXT: Record<string, unknown> = JSON.parse(
  readFileSync(join(REPOSITORY, 'cdk/cdk.json'), 'utf8'),
).context;

/** A directory that goes when the tests of the file are over. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'slack-ingress-cdk-'));
  after(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** What stands in for a built function: nothing here runs it. */
export function codeDirectory(): string {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'bootstrap'), '');
  return directory;
}

const code = codeDirectory();

export function newApp(context: Record<string, unknown> = {}): App {
  return new App({ context: { ...CONTEXT, ...context }, outdir: temporaryDirectory() });
}

/** The code that an ingress is given. */
export function functions(): Pick<SlackIngressProps, 'code' | 'redriveCode'> {
  return { code: lambda.Code.fromAsset(code), redriveCode: lambda.Code.fromAsset(code) };
}

type Props = Omit<SlackIngressProps, 'code' | 'redriveCode'>;

/** The template of a stack with one ingress. */
export function synthesized(props: Props | ((scope: Construct) => Props) = {}): Template {
  const stack = new Stack(newApp(), 'Stack');
  const rest = typeof props === 'function' ? props(stack) : props;
  new SlackIngress(stack, 'Ingress', { ...functions(), ...rest });
  return Template.fromStack(stack);
}

/** What stands in for an agent: nothing here runs it. */
export function agentDirectory(): string {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'main.py'), '');
  return directory;
}

const agentCode = agentDirectory();

type AgentRest = Partial<AgentProps>;

/** An agent's stack and its ingress's, in an app of their own. */
export function agentStacks(agent: AgentRest | ((scope: Construct) => AgentRest) = {}, ingress: Props = {}) {
  const app = newApp();
  const producer = new Stack(app, 'Ingress');
  const stack = new AgentStack(app, 'Agent', {
    ingress: new SlackIngress(producer, 'Ingress', {
      ...functions(),
      // As the settings have it; a topic has neither.
      ...(!ingress.topic && { visibilityTimeout: dispatchVisibility(), maxReceiveCount: 100 }),
      ...ingress,
    }),
    agent: (scope) => ({
      dispatchCode: lambda.Code.fromAsset(code),
      agent: { code: agentCode },
      ...(typeof agent === 'function' ? agent(scope) : agent),
    }),
  });
  return { app, stack, producer };
}

/** The template of an agent's stack, with what it imports of its ingress as if it were there. */
export function agentTemplate(...args: Parameters<typeof agentStacks>): { template: Template; ingress: Template } {
  const { stack, producer } = agentStacks(...args);
  return withImports(stack, producer);
}

/** The same of any two stacks. */
export function withImports(stack: Stack, producer: Stack): { template: Template; ingress: Template } {
  const raw = Template.fromStack(stack).toJSON();
  const ingress = Template.fromStack(producer);
  const outputs = Object.values(ingress.findOutputs('*'));
  const resolved = (value: any): any => {
    if (Array.isArray(value)) return value.map(resolved);
    if (typeof value !== 'object' || value === null) return value;
    const name = value['Fn::ImportValue'];
    if (name === undefined) return Object.fromEntries(Object.entries(value).map(([key, it]) => [key, resolved(it)]));
    const output = outputs.find((it) => it.Export?.Name === name);
    if (!output) throw new Error(`nothing exports ${name}`);
    return output.Value;
  };
  // It would miss what is not in it: the checks of `Template` are for whole ones.
  return { template: Template.fromJSON(resolved(raw), { skipCyclicalDependenciesCheck: true }), ingress };
}

export interface Resource {
  Type: string;
  Properties: any;
  DeletionPolicy?: string;
  UpdateReplacePolicy?: string;
}

/** The only resource of a type that `where` holds for, with its logical id. */
export function only(template: Template, type: string, where: (resource: Resource) => boolean = () => true) {
  const found = Object.entries(template.findResources(type) as Record<string, Resource>).filter(([, it]) => where(it));
  if (found.length !== 1) throw new Error(`${found.length} of ${type}, not one`);
  const [id, resource] = found[0]!;
  return { id, ...resource };
}

/** The two functions: only the ingress has Slack's secret. */
export const isIngress = (resource: Resource) => 'SLACK_SIGNING_SECRET_ARN' in resource.Properties.Environment.Variables;
export const isRedrive = (resource: Resource) => !isIngress(resource);

export const ingressIn = (template: Template) => only(template, 'AWS::Lambda::Function', isIngress);
export const redriveIn = (template: Template) => only(template, 'AWS::Lambda::Function', isRedrive);

/** The one role of a function, and the one policy of that role. */
export function roleOf(template: Template, fn: Resource) {
  const id: string = fn.Properties.Role['Fn::GetAtt'][0];
  const policy = only(template, 'AWS::IAM::Policy', (it) => JSON.stringify(it.Properties.Roles).includes(`"${id}"`));
  const role = template.findResources('AWS::IAM::Role')[id] as Resource;
  return { id, role, policy, statements: policy.Properties.PolicyDocument.Statement as any[] };
}

/** The one role of a service of AgentCore's. */
export function agentCoreRole(template: Template, type: 'AWS::BedrockAgentCore::Gateway' | 'AWS::BedrockAgentCore::Runtime') {
  const { RoleArn } = only(template, type).Properties;
  return roleOf(template, { Type: '', Properties: { Role: RoleArn } });
}

export const isQueue = (resource: Resource) => resource.Properties.RedrivePolicy !== undefined;
export const isDeadLetterQueue = (resource: Resource) => !isQueue(resource);
