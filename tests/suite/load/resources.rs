//! Measures the memory and the file descriptors of a process.

/// What a process uses at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResourceUse {
    /// The heap and the stack, in KiB.
    pub(crate) memory: u64,
    /// The heap, the stack and the pages of the binary that have been read, in KiB. It grows when a page is needed for the first time.
    pub(crate) resident: u64,
    pub(crate) descriptors: u64,
}

impl ResourceUse {
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

/// What a process uses after its warm-up, and at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResourceGrowth {
    pub(crate) start: ResourceUse,
    pub(crate) end: ResourceUse,
}

impl ResourceGrowth {
    /// Takes the median of the second tenth of the samples and that of the last tenth. The first tenth is the warm-up.
    pub(crate) fn of(samples: &[ResourceUse]) -> Self {
        let tenth = samples.len() / 10;
        assert!(tenth > 0, "too few samples: {}", samples.len());
        Self { start: median(&samples[tenth..2 * tenth]), end: median(&samples[samples.len() - tenth..]) }
    }

    /// How much more memory the process uses at its end, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        self.end.memory.saturating_sub(self.start.memory)
    }
}

fn median(samples: &[ResourceUse]) -> ResourceUse {
    let middle = |value: fn(&ResourceUse) -> u64| {
        let mut values: Vec<_> = samples.iter().map(value).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    ResourceUse {
        memory: middle(|sample| sample.memory),
        resident: middle(|sample| sample.resident),
        descriptors: middle(|sample| sample.descriptors),
    }
}
