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

test('without cargo-lambda the error says what to install, and what to do without it', () => {
  const crate = temporaryDirectory();
  const path = process.env.PATH;
  // A directory in which there is no program at all, cargo least of all.
  process.env.PATH = temporaryDirectory();
  try {
    assert.throws(
      () => functionCode({ binary: 'redrive', architecture: lambda.Architecture.ARM_64, crate }),
      (error: Error) => {
        const command = `cargo lambda build --locked --release --bin redrive --arm64 --lambda-dir ${join(crate, 'target/lambda-cdk/arm64')}`;
        assert.ok(error.message.startsWith(`the function could not be built (${command}): is cargo-lambda installed? `), error.message);
        assert.match(error.message, /run `make build`, and give the zips in target\/lambda by codePath, redriveCodePath … \(docs\/deploy\.md\)$/);
        assert.match(String((error.cause as Error).message), /cargo/);
        return true;
      },
    );
  } finally {
    process.env.PATH = path;
  }
});

test('a build that fails is no build', () => {
  const crate = temporaryDirectory();
  writeFileSync(join(crate, 'cargo'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const path = process.env.PATH;
  process.env.PATH = `${crate}:${path}`;
  try {
    const build = () => functionCode({ binary: 'redrive', architecture: lambda.Architecture.ARM_64, crate });
    assert.throws(build, /^Error: the function could not be built .*is cargo-lambda installed\?/);
  } finally {
    process.env.PATH = path;
  }
});
