//! What time it is, how much of it is left, and what may still be begun.
//!
//! In reading order:
//! 1. [`clock`]: the one place that reads a clock.
//! 2. [`invocation`]: who is asked to do something, and until when; [`trace`]: to which trace it belongs.
//! 3. [`skew`]: what time it is although the clock of the machine may be wrong.
//! 4. [`budget`]: how the time of one invocation is shared among its steps, and the time-outs of a single call.
//! 5. [`deadline`]: runs one step, and cuts it off at a point in time.
//!
//! ```text
//! clock, invocation, skew ──▶ budget ──a point in time for each step──▶ deadline
//! ```
//!
//! This room is at the bottom of the house: every other room may import it, and it imports none.

pub mod budget;
pub mod clock;
pub mod deadline;
pub mod invocation;
pub mod skew;
pub mod trace;
