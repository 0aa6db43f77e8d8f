// Which OpenAPI documents AgentCore Gateway accepts as a target. A document that it does not accept is refused at
// synthesis; AgentCore would refuse it only during the deployment.

import { readFileSync } from 'node:fs';

/** The fields of an OpenAPI document that this file reads. */
export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: { readonly title: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Record<string, Record<string, Operation>>;
}

interface Operation {
  readonly operationId?: string;
  readonly parameters?: readonly Record<string, unknown>[];
  readonly requestBody?: { readonly content?: Record<string, unknown> };
}

/** The form that AgentCore requires of a target's name. */
const TARGET_NAME = /^([0-9a-zA-Z]-?){1,100}$/;

/** How a parameter can say that it is written in another way than plainly, which AgentCore does not support. */
const SERIALIZERS = ['style', 'explode', 'allowReserved', 'content'];

const METHODS = ['get', 'put', 'post', 'delete', 'patch', 'head', 'options', 'trace'];

/** Models refuse tools with longer names. */
export const MAX_TOOL_NAME = 64;

/**
 * Reads an OpenAPI document and checks that AgentCore accepts it as a target: version 3.0 or 3.1, one server, an
 * `operationId` for each operation, plain parameters, JSON bodies, and no schema with alternatives. And that it accepts the
 * target's name.
 *
 * @throws Error that names the first thing that AgentCore would not accept
 */
export function openApiDocument(path: string, target: string): OpenApiDocument {
  const problem = (what: string) => new Error(`${path}: ${what}`);
  if (!TARGET_NAME.test(target)) throw problem(`the target's name must be of letters, digits and single -, and is: ${target}`);
  let document: OpenApiDocument;
  try {
    document = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw problem((error as Error).message);
  }
  if (!/^3\.[01]\.\d+$/.test(document.openapi)) throw problem(`OpenAPI ${document.openapi}, not 3.0 or 3.1`);
  if (!document.info?.title) throw problem('it has no info.title');
  const servers = document.servers ?? [];
  // With a variable in the URL, a caller could choose the server that the credential is sent to.
  if (servers.length !== 1 || !/^https:\/\/[^{}]+$/.test(servers[0]!.url)) {
    throw problem('it must have one server, with an https URL without variables');
  }
  const operations = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([method]) => METHODS.includes(method))
      .map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, operation })),
  );
  if (operations.length === 0) throw problem('it has no operation');
  const ids = new Set<string>();
  for (const { name, operation } of operations) {
    const id = operation.operationId;
    if (id === undefined || !/^[a-zA-Z0-9_-]+$/.test(id)) {
      throw problem(`${name} has no operationId of letters, digits, _ and -`);
    }
    const tool = `${target}___${id}`;
    if (tool.length > MAX_TOOL_NAME) throw problem(`the tool ${tool} has over ${MAX_TOOL_NAME} characters`);
    if (ids.has(id)) throw problem(`two operations are called ${id}`);
    ids.add(id);
    for (const parameter of operation.parameters ?? []) {
      const serializer = SERIALIZERS.find((it) => it in parameter);
      if (serializer) throw problem(`${name} has a parameter with ${serializer}: ${parameter.name}`);
    }
    const types = Object.keys(operation.requestBody?.content ?? {});
    if (types.some((type) => type !== 'application/json')) {
      throw problem(`${name} accepts a body that is not application/json`);
    }
  }
  for (const choice of ['oneOf', 'anyOf', 'allOf']) {
    if (hasKey(document.paths, choice) || hasKey((document as any).components, choice)) throw problem(`it has ${choice}`);
  }
  return document;
}

function hasKey(value: unknown, key: string): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return key in value || Object.values(value).some((it) => hasKey(it, key));
}
