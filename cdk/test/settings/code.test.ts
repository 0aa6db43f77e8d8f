// A function's code that is built rather than given.

import assert from 'node:assert/strict';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { functionCode } from '../../lib/settings/code';
import { temporaryDirectory } from '../support';

test('without a path, cargo-lambda builds the code for the architecture', () => {
  const crate = temporaryDirectory();
  // This program stands in for cargo. It writes down its arguments, and creates the functions in the directory that it
  // is given.
  const cargo = join(crate, 'cargo');
  writeFileSync(
    cargo,
    '#!/bin/sh\nset -e\necho "$PWD: $*" > arguments\nfor last; do :; done\nfor name in slack-ingress redrive agent-dispatch; do mkdir -p "$last/$name"; touch "$last/$name/bootstrap"; done\n',
    { mode: 0o755 },
  );
  const path = process.env.PATH;
  process.env.PATH = `${crate}:${path}`;
  try {
    for (const [binary, architecture, flag, features] of [
      ['slack-ingress', lambda.Architecture.ARM_64, '--arm64', 'sns,redis'],
      ['slack-ingress', lambda.Architecture.X86_64, '--x86-64', 'sns,redis'],
      ['redrive', lambda.Architecture.ARM_64, '--arm64', 'sns,redis'],
      ['agent-dispatch', lambda.Architecture.ARM_64, '--arm64', 'dispatch,sns,redis'],
    ] as const) {
      functionCode({ binary, architecture, crate, features: ['sns', 'redis'] });
      assert.equal(
        readFileSync(join(crate, 'arguments'), 'utf8').trim(),
        `${realpathSync(crate)}: lambda build --locked --release --bin ${binary} ${flag} ` +
          `--features ${features} --lambda-dir ${join(crate, 'target/lambda-cdk', architecture.name)}`,
      );
    }
  } finally {
    process.env.PATH = path;
  }
});
