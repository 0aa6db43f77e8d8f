// Which code is refused, because it could not start as it is to be deployed.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as sns from 'aws-cdk-lib/aws-sns';
import { checkCode } from '../../lib/common/bootstrap';
import { agentStacks, codeDirectory, codeOf, newApp, program, rustSource, synthesized, temporaryDirectory, zipOf } from '../support';

const { ARM_64, X86_64 } = lambda.Architecture;
const needed = { binary: 'slack-ingress', architecture: ARM_64 } as const;

/** Returns the code in the two forms that are deployed: a directory and a zip. */
function forms(content: Buffer): lambda.Code[] {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'bootstrap'), content);
  // A zip may have more than the program in it, before and behind it.
  const zip = zipOf({ a: Buffer.from('a'), bootstrap: content, z: Buffer.alloc(100_000) });
  return [lambda.Code.fromAsset(directory), lambda.Code.fromAsset(zip)];
}

test('code for the architecture that it is deployed for is accepted', () => {
  for (const [name, architecture] of [['arm64', ARM_64], ['x86_64', X86_64]] as const) {
    for (const code of forms(program(name))) assert.doesNotThrow(() => checkCode(code, { ...needed, architecture }));
  }
});

test('code for the other architecture is refused, and the commands are named that mend it', () => {
  for (const code of forms(program('arm64'))) {
    assert.throws(
      () => checkCode(code, { ...needed, architecture: X86_64 }),
      /^Error: slack-ingress \(\/.*\) was built for arm64, and is to be deployed for x86_64: .*make build ARCHITECTURE=x86_64, or cargo lambda build --x86-64\), or set architecture to arm64 \(make deploy ARCHITECTURE=arm64\)$/,
    );
  }
  for (const code of forms(program('x86_64'))) {
    assert.throws(() => checkCode(code, needed), /was built for x86_64, .*make build ARCHITECTURE=arm64, or cargo lambda build --arm64/);
  }
});

test('a program for another system or machine is refused, and a script is not', () => {
  const machO = Buffer.concat([Buffer.from('cffaedfe', 'hex'), Buffer.alloc(60)]);
  const riscV = program();
  riscV.writeUInt16LE(243, 18);
  for (const code of [...forms(machO), ...forms(Buffer.alloc(0)), ...forms(program().subarray(0, 19))]) {
    assert.throws(() => checkCode(code, needed), /is no program for Linux/);
  }
  for (const code of forms(riscV)) assert.throws(() => checkCode(code, needed), /e_machine 243/);
  for (const code of forms(Buffer.from('#!/bin/sh\n'))) assert.doesNotThrow(() => checkCode(code, needed));
});

test('a build without a cargo feature that is needed is refused, and one that does not say is not', () => {
  const both = { ...needed, features: ['redis', 'sns'] };
  for (const code of forms(program('arm64', []))) {
    assert.doesNotThrow(() => checkCode(code, needed));
    assert.throws(() => checkCode(code, both), /without the cargo feature redis and sns, .*make build FEATURES=redis,sns \(make deploy FEATURES=redis,sns\)/);
  }
  for (const code of forms(program('arm64', ['sns']))) {
    assert.throws(() => checkCode(code, both), /without the cargo feature redis, /);
    assert.doesNotThrow(() => checkCode(code, { ...needed, features: ['sns'] }));
  }
  const others = program().subarray(0, 64);
  for (const code of forms(others)) assert.doesNotThrow(() => checkCode(code, both));
});

test('the texts that are looked for are those that the programs have', () => {
  const source = rustSource('src/lambda');
  for (const text of ['"slack-ingress build;"', '"slack-ingress feature redis;"', '"slack-ingress feature sns;"']) {
    assert.ok(source.includes(text), text);
  }
});

test('a zip without a program, or none at all, is refused', () => {
  const code = (path: string) => lambda.Code.fromAsset(path);
  assert.throws(() => checkCode(code(zipOf({ 'slack-ingress': program() })), needed), /has no "bootstrap" at the top of the zip/);
  const damaged = join(temporaryDirectory(), 'code.zip');
  for (const content of ['', 'not a zip', 'PK\x05\x06']) {
    writeFileSync(damaged, content);
    assert.throws(() => checkCode(code(damaged), needed), /cannot be read: .*it is no zip/);
  }
});

test('what is not here cannot be looked at, and is let through', () => {
  const stack = new Stack(newApp(), 'Stack');
  const elsewhere = lambda.Code.fromBucket(s3.Bucket.fromBucketName(stack, 'Code', 'code'), 'slack-ingress.zip');
  assert.doesNotThrow(() => checkCode(elsewhere, needed));
  // A directory that is built before it is deployed: it has no program yet.
  assert.doesNotThrow(() => checkCode(lambda.Code.fromAsset(temporaryDirectory()), needed));
});

test('every function of both stacks is checked', () => {
  const wrong = () => codeOf(X86_64);
  for (const name of ['code', 'redriveCode'] as const) {
    assert.throws(() => synthesized(() => ({ [name]: wrong() })), /was built for x86_64/, name);
  }
  for (const name of ['dispatchCode', 'settleCode', 'rotationCode'] as const) {
    assert.throws(() => agentStacks({ [name]: wrong() }), /was built for x86_64/, name);
  }
});

test('with a topic both functions need the feature sns', () => {
  const directory = codeDirectory('arm64', []);
  const without = () => lambda.Code.fromAsset(directory);
  const topic = (scope: Stack) => sns.Topic.fromTopicArn(scope, 'Topic', 'arn:aws:sns:us-east-1:111122223333:events');
  for (const name of ['code', 'redriveCode'] as const) {
    assert.doesNotThrow(() => synthesized(() => ({ [name]: without() })));
    assert.throws(
      () => synthesized((scope) => ({ topic: topic(scope as Stack), [name]: without() })),
      name === 'code' ? /^Error: slack-ingress .* without the cargo feature sns/ : /^Error: redrive .* without the cargo feature sns/,
    );
  }
});
