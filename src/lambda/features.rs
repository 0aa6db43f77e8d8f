//! What this build has beyond the default one, as text in the program. Before a deployment the CDK reads it in the zip
//! (`cdk/lib/common/bootstrap.ts`): a function whose build lacks what its settings ask for would stop at init.

/// One text for each cargo feature that adds a store or a sink, behind one that every build has.
const MARKERS: &[&str] = &[
    "slack-ingress build;",
    #[cfg(feature = "redis")]
    "slack-ingress feature redis;",
    #[cfg(feature = "sns")]
    "slack-ingress feature sns;",
];

/// Has the compiler keep the texts in the program, which nothing else would read.
pub(super) fn keep_in_the_program() {
    std::hint::black_box(MARKERS);
}
