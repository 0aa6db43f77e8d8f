// Grants on secrets that were created here or imported by ARN or name.

import type * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';

/**
 * The resource that a policy names for a secret. AWS ends a secret's ARN in six random characters. They are unknown for
 * a secret that was imported by its name, and the policy then has six wildcards in their place.
 */
export function arnForPolicy(secret: secretsmanager.ISecret): string {
  return secret.secretFullArn ?? `${secret.secretArn}-??????`;
}
