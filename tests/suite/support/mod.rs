//! What this suite adds to the stand-ins of `test-support`: the binaries that are under test, and a deployment of them.

pub(crate) mod ingress;
pub(crate) mod stage;
