// Templates in a form in which the CDK's and SAM's can be compared.

import type { Resource } from '../support';

/** A CloudFormation template as an object. */
export interface RawTemplate {
  Parameters?: Record<string, { Default?: unknown }>;
  Conditions?: Record<string, unknown>;
  Resources: Record<string, Resource & { Condition?: string }>;
  Outputs?: Record<string, { Value: unknown; Description?: string }>;
}

export interface Canonical {
  /** The resources, by a name that says what the resource is and is the same in every template. */
  resources: Record<string, unknown>;
  outputs: Record<string, unknown>;
}

const NOTHING = Symbol('AWS::NoValue');

/**
 * Fills in a template's parameters and replaces logical ids by names that say what a resource is. Two templates that
 * describe the same resources become equal. Scalars become strings, as they do in CloudFormation.
 */
export function canonical(template: RawTemplate, parameters: Record<string, string> = {}): Canonical {
  const values = new Map(Object.entries(template.Parameters ?? {}).map(([name, it]) => [name, String(it.Default)]));
  for (const [name, value] of Object.entries(parameters)) {
    if (!values.has(name)) throw new Error(`no parameter ${name}`);
    values.set(name, value);
  }

  const holds = (condition: unknown): boolean => {
    const [operator, argument] = Object.entries(condition as Record<string, unknown[]>)[0]!;
    if (operator === 'Fn::Equals') return resolve(argument[0]) === resolve(argument[1]);
    if (operator === 'Fn::Not') return !holds(argument[0]);
    throw new Error(`condition ${operator}`);
  };
  const isMet = (name: string) => holds(template.Conditions?.[name]);

  const present = Object.entries(template.Resources).filter(([, it]) => it.Condition === undefined || isMet(it.Condition));
  const names = new Map(present.map(([id, resource]) => [id, nameOf(resource, template)]));

  function reference(id: string, attribute?: string): unknown {
    if (id === 'AWS::NoValue') return NOTHING;
    if (id.startsWith('AWS::')) return `<${id}>`;
    if (values.has(id)) return values.get(id);
    if (!names.has(id)) throw new Error(`a reference to ${id}, which does not exist`);
    return `<${names.get(id)}${attribute ? `.${attribute}` : ''}>`;
  }

  function resolve(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(resolve).filter((it) => it !== NOTHING);
    if (typeof value !== 'object' || value === null) return String(value);
    const [[key, argument] = [], ...others] = Object.entries(value) as [string, any][];
    if (others.length === 0) {
      switch (key) {
        case 'Ref':
          return reference(argument);
        case 'Fn::GetAtt':
          return reference(...attributeOf(value));
        case 'Fn::If':
          return resolve(isMet(argument[0]) ? argument[1] : argument[2]);
        case 'Fn::Join':
          return (resolve(argument[1]) as string[]).join(argument[0]);
        case 'Fn::Sub':
          return argument.replace(/\$\{([^}]+)\}/g, (_: string, name: string) => {
            const [id, attribute] = name.split('.');
            return reference(id!, attribute);
          });
      }
    }
    return Object.fromEntries(
      Object.entries(value)
        .map(([key, it]) => [key, resolve(it)] as const)
        .filter(([, it]) => it !== NOTHING),
    );
  }

  const resources: Record<string, unknown> = {};
  const grants: Record<string, unknown[]> = {};
  for (const [id, resource] of present) {
    const name = names.get(id)!;
    const properties = resolve(resource.Properties ?? {}) as Record<string, any>;
    if (resource.Type === 'AWS::IAM::Policy') {
      for (const role of properties.Roles) (grants[role] ??= []).push(...properties.PolicyDocument.Statement);
      continue;
    }
    for (const policy of properties.Policies ?? []) (grants[`<${name}>`] ??= []).push(...policy.PolicyDocument.Statement);
    delete properties.Policies;
    if (resource.Type === 'AWS::Serverless::Function') {
      if (properties.Tracing) properties.TracingConfig = { Mode: properties.Tracing };
      delete properties.Tracing;
      delete properties.CodeUri;
    }
    delete properties.Code;
    if (name in resources) throw new Error(`two resources are called ${name}`);
    resources[name] = {
      properties,
      deletion: resource.DeletionPolicy ?? 'Delete',
      replacement: resource.UpdateReplacePolicy ?? 'Delete',
    };
  }
  resources.Grants = grants;
  return {
    resources,
    outputs: Object.fromEntries(
      Object.entries(template.Outputs ?? {}).map(([name, it]) => [name, { value: resolve(it.Value), description: it.Description }]),
    ),
  };
}

function nameOf(resource: Resource, template: RawTemplate): string {
  const { Type, Properties } = resource;
  // The function that uses this resource as its role or log.
  const owner = (of: (fn: Resource) => string) =>
    Object.values(template.Resources).find((it) => isFunction(it) && template.Resources[of(it)] === resource);
  const isMain = (id: string) => template.Resources[id]?.Properties.RedrivePolicy !== undefined;
  switch (Type) {
    case 'AWS::SQS::Queue':
      return Properties.RedrivePolicy ? 'Queue' : 'DeadLetterQueue';
    case 'AWS::SQS::QueuePolicy':
      return isMain(Properties.Queues[0].Ref) ? 'QueuePolicy' : 'DeadLetterQueuePolicy';
    case 'AWS::Lambda::Function':
    case 'AWS::Serverless::Function':
      // Only the ingress is given the signing secret.
      return 'SLACK_SIGNING_SECRET_ARN' in Properties.Environment.Variables ? 'Ingress' : 'Redrive';
    case 'AWS::IAM::Role': {
      const fn = owner((it) => attributeOf(it.Properties.Role)[0]);
      return fn ? `${nameOf(fn, template)}Role` : Type;
    }
    case 'AWS::Logs::LogGroup': {
      const fn = owner((it) => it.Properties.LoggingConfig.LogGroup.Ref);
      return fn ? `${nameOf(fn, template)}Log` : 'AccessLog';
    }
    case 'AWS::ApiGatewayV2::Route':
      return `Route ${Properties.RouteKey}`;
    case 'AWS::Lambda::Permission': {
      if (Properties.Principal === 'events.amazonaws.com') return 'Permission of the schedule';
      const arn = Properties.SourceArn['Fn::Sub'] ?? Properties.SourceArn['Fn::Join'][1].at(-1);
      return `Permission ${/\/slack\/.*/.exec(arn)?.[0]}`;
    }
    case 'AWS::Logs::MetricFilter':
      return `Filter for ${Properties.MetricTransformations[0].MetricName}`;
    case 'AWS::CloudWatch::Alarm':
      return `Alarm: ${Properties.AlarmDescription}`;
    default:
      return Type;
  }
}

/** The logical id and the attribute that an `Fn::GetAtt` names, written as one string or as a list. */
function attributeOf(getAtt: any): [string, string] {
  const argument = getAtt['Fn::GetAtt'];
  return (typeof argument === 'string' ? argument.split('.') : argument) as [string, string];
}

function isFunction({ Type }: Resource): boolean {
  return Type === 'AWS::Lambda::Function' || Type === 'AWS::Serverless::Function';
}
