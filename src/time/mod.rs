//! Clocks, and what may still be begun.

pub mod budget;
pub mod clock;
pub mod deadline;
pub mod invocation;
