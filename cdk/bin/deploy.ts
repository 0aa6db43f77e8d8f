// Deploys all stacks, unless that would replace or remove what holds data, or what Slack calls.
//
//     npm run deploy -- -c name=value …             with the arguments of `cdk deploy`
//     npm run deploy -- --replace=Ingress/Queue …   and what may be replaced or removed, by its path, separated by commas
//
// `cdk deploy` itself asks about new rights, but replaces a queue without a word.

import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { destructiveChanges, refusal } from '../lib/guard/replacement';

const HERE = resolve(__dirname, '..');
const ASSEMBLY = 'cdk.out';

/** Runs the CDK's command line and returns its exit code. */
function cdk(...args: string[]): number {
  const run = spawnSync(process.execPath, [require.resolve('aws-cdk/bin/cdk'), ...args], { cwd: HERE, stdio: 'inherit' });
  if (run.error) throw run.error;
  return run.status ?? 1;
}

/** Compares the stacks in a cloud assembly with those that are deployed, and returns why they must not be deployed. */
function compare(assembly: string, args: string[], replace: string[]): string | undefined {
  const diff = [require.resolve('aws-cdk/bin/cdk'), 'diff', '--no-color', '--fail-on=destructive', ...args, '--app', assembly];
  const { status, stdout, stderr, error } = spawnSync(process.execPath, diff, { cwd: HERE, encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (error) throw error;
  const changes = destructiveChanges(stderr);
  if (status !== 0 && changes.length === 0) return `${stdout}${stderr}\nNot deployed: the stacks could not be compared with those that are deployed.`;
  const reason = refusal(changes, replace);
  return reason && `${stdout}\n${reason}`;
}

function main(): number {
  const { values, tokens } = parseArgs({
    strict: false,
    tokens: true,
    options: { app: { type: 'string', short: 'a' }, replace: { type: 'string', multiple: true } },
  });
  const replace = ((values.replace ?? []) as string[]).flatMap((it) => it.split(',')).filter((it) => it !== '');
  // What is left of the arguments without these two, which may be written with `=` or a space.
  const ours = tokens.filter((it) => it.kind === 'option' && ['app', 'replace'].includes(it.name));
  const skipped = ours.flatMap((it) => (it.kind === 'option' && it.inlineValue === false ? [it.index, it.index + 1] : [it.index]));
  const args = process.argv.slice(2).filter((_, index) => !skipped.includes(index));

  // Synthesized once, so that what is compared is what is deployed.
  const assembly = (values.app as string | undefined) ?? ASSEMBLY;
  if (values.app === undefined) {
    const status = cdk('synth', '--quiet', '--output', ASSEMBLY, ...args);
    if (status !== 0) return status;
  }
  const reason = compare(assembly, args, replace);
  if (reason !== undefined) {
    console.error(reason);
    return 1;
  }
  const outputs = values['outputs-file'] === undefined ? ['--outputs-file', 'outputs.json'] : [];
  return cdk('deploy', '--all', ...outputs, ...args, '--app', assembly);
}

process.exitCode = main();
