/**
 * The guard keeps an idempotency record for each message, so that a redelivery does not run a finished listener again.
 * `bolt/README.md` has its item and its rules; `dynamodb.ts` is the one that keeps them.
 */

/** How far the clocks of two consumers may differ. A record's lease and the message's invisibility count on it. */
export const TOLERATED_SKEW_MS = 5_000;

/** This consumer's right to run a message's listeners, until its lease is over. */
export interface Claim {
  /** Whether a delivery before, which failed, has shown the text of its `ack`, or may have. */
  readonly ackWasShown: boolean;
  /** Makes the lease longer. False if another consumer owns the record by now. */
  extend(leaseUntil: number): Promise<boolean>;
  /** The listeners have finished: none of them runs again. False if another consumer owns the record by now. */
  done(): Promise<boolean>;
  /**
   * A listener failed: the next delivery may run at once.
   * @param ackShown whether the text of an `ack` was shown, or may have been, so that the next delivery does not show it again
   */
  failed(ackShown: boolean): Promise<void>;
}

export type Begin =
  | { found: 'nothing'; claim: Claim }
  | { found: 'done' }
  /** `leaseUntil` is in milliseconds since the Unix epoch. */
  | { found: 'running'; leaseUntil: number };

export interface Guard {
  /**
   * Claims a message in one conditional write.
   * @param id under which the message is recorded
   * @param leaseUntil in milliseconds since the Unix epoch
   * @throws if the guard could not be asked. Then nothing may run.
   */
  begin(id: string, leaseUntil: number): Promise<Begin>;
}

/** No guard. Every delivery runs. */
export const NO_GUARD: Guard = {
  begin: async () => ({
    found: 'nothing',
    claim: { ackWasShown: false, extend: async () => true, done: async () => true, failed: async () => {} },
  }),
};
