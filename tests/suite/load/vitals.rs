//! What a process holds: memory and file descriptors, through its life.

/// At one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vitals {
    /// Heap and stack, in KiB.
    pub(crate) memory: u64,
    /// These and what was read of the binary, which is more whenever a page of it is first needed, in KiB.
    pub(crate) resident: u64,
    pub(crate) descriptors: u64,
}

impl Vitals {
    pub(crate) fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
        let kib = |name| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)).expect("a value");
            value.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count();
        Self { memory: kib("RssAnon:"), resident: kib("VmRSS:"), descriptors: descriptors as u64 }
    }
}

/// A process after its warm-up, and at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) start: Vitals,
    pub(crate) end: Vitals,
}

impl Course {
    /// The medians of the second tenth of the samples, and of the last: the first tenth is the warm-up.
    pub(crate) fn of(samples: &[Vitals]) -> Self {
        let tenth = samples.len() / 10;
        assert!(tenth > 0, "too few samples: {}", samples.len());
        Self { start: median(&samples[tenth..2 * tenth]), end: median(&samples[samples.len() - tenth..]) }
    }

    /// By how many KiB of memory.
    pub(crate) fn growth(&self) -> u64 {
        self.end.memory.saturating_sub(self.start.memory)
    }
}

fn median(samples: &[Vitals]) -> Vitals {
    let middle = |value: fn(&Vitals) -> u64| {
        let mut values: Vec<_> = samples.iter().map(value).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    Vitals {
        memory: middle(|sample| sample.memory),
        resident: middle(|sample| sample.resident),
        descriptors: middle(|sample| sample.descriptors),
    }
}
