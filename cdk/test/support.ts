import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after } from 'node:test';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { SlackIngress, type SlackIngressProps } from '../lib/slack-ingress.ts';

export const REPOSITORY = resolve(import.meta.dirname, '../..');

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

export const isQueue = (resource: Resource) => resource.Properties.RedrivePolicy !== undefined;
export const isDeadLetterQueue = (resource: Resource) => !isQueue(resource);
