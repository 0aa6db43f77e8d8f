// What the tests share: stacks to look at, and ways to find resources in their templates.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after } from 'node:test';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { type AgentProps, AgentStack } from '../lib/agent/stack';
import { SlackIngress, type SlackIngressProps } from '../lib/ingress/slack-ingress';

export const REPOSITORY = resolve(__dirname, '../..');

/**
 * Returns the text of the Rust files in a folder, without the files of unit tests. Tests look there for a name that the
 * Rust code must contain, whichever file of the folder it is in.
 */
export function rustSource(folder = 'src'): string {
  const source = join(REPOSITORY, folder);
  return readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.rs') && !/(^|\/)tests(\/|\.rs$)/.test(file))
    .map((file) => readFileSync(join(source, file), 'utf8'))
    .join('\n');
}

/** The context that the CDK's command line would pass: cdk.json sets it. */
export const CONTEXT: Record<string, unknown> = JSON.parse(
  readFileSync(join(REPOSITORY, 'cdk/cdk.json'), 'utf8'),
).context;

/** Creates a directory that is removed when the tests of the file have ended. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'slack-ingress-cdk-'));
  after(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** Lambda's architectures, with their numbers in an ELF header (`EM_AARCH64`, `EM_X86_64`). */
const MACHINES = { arm64: 183, x86_64: 62 };

/** Returns the header of a program and, behind it, what ours say of the cargo features that they were built with. */
export function program(architecture: keyof typeof MACHINES = 'arm64', features: string[] = ['sns']): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(MACHINES[architecture], 18);
  const markers = features.map((feature) => `slack-ingress feature ${feature};`);
  return Buffer.concat([header, Buffer.from(['slack-ingress build;', ...markers].join('\0'))]);
}

/** Creates a directory that stands in for a built function. No test runs it. */
export function codeDirectory(...built: Parameters<typeof program>): string {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'bootstrap'), program(...built));
  return directory;
}

/** Creates a zip of these files, with a program that is not ours, and returns its path. */
export function zipOf(files: Record<string, Buffer>): string {
  const directory = temporaryDirectory();
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
  const run = spawnSync('python3', ['-m', 'zipfile', '-c', 'code.zip', ...Object.keys(files)], { cwd: directory });
  if (run.status !== 0) throw new Error(`no zip: ${run.stderr}`);
  return join(directory, 'code.zip');
}

/** The settings that say where all code is, for a test that makes stacks from settings. */
export function codeSettings(path = codeDirectory()): Record<string, string> {
  return {
    codePath: path,
    redriveCodePath: path,
    dispatchCodePath: path,
    settleCodePath: path,
    rotationCodePath: path,
    agentCodePath: agentDirectory(),
  };
}

const code = codeDirectory();
/** Returns the code of a function that was built for an architecture. */
export const codeOf = (architecture?: lambda.Architecture) =>
  lambda.Code.fromAsset(architecture?.name === 'x86_64' ? codeDirectory('x86_64') : code);

export function newApp(context: Record<string, unknown> = {}): App {
  return new App({ context: { ...CONTEXT, ...context }, outdir: temporaryDirectory() });
}

/** Returns the code props of an ingress. */
export function functions(architecture?: lambda.Architecture): Required<Pick<SlackIngressProps, 'code' | 'redriveCode'>> {
  return { code: codeOf(architecture), redriveCode: codeOf(architecture) };
}

type Props = Omit<SlackIngressProps, 'code' | 'redriveCode'>;

/** Returns the template of a stack with one ingress. */
export function synthesized(props: Props | ((scope: Construct) => Props) = {}): Template {
  const stack = new Stack(newApp(), 'Stack');
  const rest = typeof props === 'function' ? props(stack) : props;
  new SlackIngress(stack, 'Ingress', { ...functions(rest.architecture), ...rest });
  return Template.fromStack(stack);
}

/** Creates a directory that stands in for an agent. No test runs it. */
export function agentDirectory(): string {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'main.py'), '');
  return directory;
}

/** Creates the directory of an agent that contains the AWS Distro for OpenTelemetry. */
export function tracedAgentDirectory(): string {
  const directory = agentDirectory();
  mkdirSync(join(directory, 'amazon/opentelemetry/distro'), { recursive: true });
  return directory;
}

const agentCode = agentDirectory();

type AgentRest = Partial<AgentProps>;

/** Creates an agent's stack and its ingress's stack in an app of their own. */
export function agentStacks(agent: AgentRest | ((scope: Construct) => AgentRest) = {}, ingress: Props = {}) {
  const app = newApp();
  const producer = new Stack(app, 'Ingress');
  const stack = new AgentStack(app, 'Agent', {
    ingress: new SlackIngress(producer, 'Ingress', {
      ...functions(),
      forAgent: !ingress.topic,
      ...ingress,
    }),
    agent: (scope) => ({
      dispatchCode: lambda.Code.fromAsset(code),
      settleCode: lambda.Code.fromAsset(code),
      agent: { code: agentCode },
      ...(typeof agent === 'function' ? agent(scope) : agent),
    }),
  });
  return { app, stack, producer };
}

/**
 * Returns the template of an agent's stack, in which imports from the ingress's stack are replaced by what they refer
 * to.
 */
export function agentTemplate(...args: Parameters<typeof agentStacks>): { template: Template; ingress: Template } {
  const { stack, producer } = agentStacks(...args);
  return withImports(stack, producer);
}

/** Returns the template of `stack`, in which imports from `producer` are replaced by what they refer to. */
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
  // The check for cycles would fail, because the resources of the other stack are missing from this template.
  return { template: Template.fromJSON(resolved(raw), { skipCyclicalDependenciesCheck: true }), ingress };
}

export interface Resource {
  Type: string;
  Properties: any;
  DeletionPolicy?: string;
  UpdateReplacePolicy?: string;
}

/** Returns the resource of a type that fulfils `where`, with its logical id. Throws unless there is exactly one. */
export function only(template: Template, type: string, where: (resource: Resource) => boolean = () => true) {
  const found = Object.entries(template.findResources(type) as Record<string, Resource>).filter(([, it]) => where(it));
  if (found.length !== 1) throw new Error(`${found.length} of ${type}, not one`);
  const [id, resource] = found[0]!;
  return { id, ...resource };
}

/** Tells the ingress's two functions apart: only `slack-ingress` is given the signing secret. */
export const isIngress = (resource: Resource) => 'SLACK_SIGNING_SECRET_ARN' in resource.Properties.Environment.Variables;
export const isRedrive = (resource: Resource) => !isIngress(resource);

export const ingressIn = (template: Template) => only(template, 'AWS::Lambda::Function', isIngress);
export const redriveIn = (template: Template) => only(template, 'AWS::Lambda::Function', isRedrive);

/** Tells the agent's two functions apart: only the dispatcher is given an agent to call. */
export const isDispatch = (resource: Resource) => 'AGENT_RUNTIME_ARN' in resource.Properties.Environment.Variables;
export const isSettle = (resource: Resource) => !isDispatch(resource);

export const dispatchIn = (template: Template) => only(template, 'AWS::Lambda::Function', isDispatch);
export const settleIn = (template: Template) => only(template, 'AWS::Lambda::Function', isSettle);

/** Tells the Gateways apart by their descriptions. The third one exists only with several workspaces. */
export const isToolsGateway = (resource: Resource) => /the agent's tools$/.test(resource.Properties.Description);
export const isWorkspacesGateway = (resource: Resource) => /in each workspace$/.test(resource.Properties.Description);
export const isSettleGateway = (resource: Resource) => !isToolsGateway(resource) && !isWorkspacesGateway(resource);

/** Returns the role of a function, and the only policy of that role. */
export function roleOf(template: Template, fn: Resource) {
  const id: string = fn.Properties.Role['Fn::GetAtt'][0];
  const policy = only(template, 'AWS::IAM::Policy', (it) => JSON.stringify(it.Properties.Roles).includes(`"${id}"`));
  const role = template.findResources('AWS::IAM::Role')[id] as Resource;
  return { id, role, policy, statements: policy.Properties.PolicyDocument.Statement as any[] };
}

/**
 * Returns which keys these statements let somebody use: through which service, by which actions, and which key. Every right to
 * use a key must be through one service of the stack's region.
 */
export function useOfKeys(statements: any[]): [string, string[], string | string[]][] {
  return statements
    .filter(({ Action }) => [Action].flat().some((it: string) => it.startsWith('kms:')))
    .map(({ Effect, Action, Resource, Condition, ...rest }) => {
      const [, [service, region, suffix]] = Condition.StringEquals['kms:ViaService']['Fn::Join'];
      assert.deepEqual([Effect, rest, Object.keys(Condition), region, suffix], ['Allow', {}, ['StringEquals'], { Ref: 'AWS::Region' }, '.amazonaws.com']);
      return [service.slice(0, -1), [Action].flat(), Resource];
    });
}

/** Returns the role of an AgentCore resource, and the only policy of that role. */
export function agentCoreRole(
  template: Template,
  type: 'AWS::BedrockAgentCore::Gateway' | 'AWS::BedrockAgentCore::Runtime',
  where?: (resource: Resource) => boolean,
) {
  const { RoleArn } = only(template, type, where).Properties;
  return roleOf(template, { Type: '', Properties: { Role: RoleArn } });
}

export const isQueue = (resource: Resource) => resource.Properties.RedrivePolicy !== undefined;
export const isDeadLetterQueue = (resource: Resource) => !isQueue(resource);
