//! Limits a function to its share of a core, with a Linux control group of version 1 or 2, whichever the machine has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A function with this much memory, in MB, gets a whole core (AWS Lambda, "Configure Lambda function memory").
const WHOLE_CORE_MB: u64 = 1769;

/// The function gets its share of each period of this length. AWS does not say how long Lambda's period is. With a longer period a
/// function could use more time at once, which would make a function that needs little time look faster than it is.
const PERIOD: Duration = Duration::from_millis(20);

const V1: &str = "/sys/fs/cgroup/cpu";
const V1_ACCOUNTS: &str = "/sys/fs/cgroup/cpuacct";
const V2: &str = "/sys/fs/cgroup";

/// A control group for one function. Dropping it removes the group.
pub struct Share {
    /// The directory in which the limit is set.
    limits: PathBuf,
    /// The directory in which the CPU time is counted. In version 2 it is the same.
    accounts: PathBuf,
    is_v2: bool,
}

impl Share {
    /// Makes the group, without a limit.
    pub fn create() -> io::Result<Self> {
        let name = format!("functions-bench-{}", std::process::id());
        let is_v2 = Path::new(V2).join("cgroup.controllers").exists();
        let (limits, accounts) = if is_v2 { (V2, V2) } else { (V1, V1_ACCOUNTS) };
        let share =
            Self { limits: Path::new(limits).join(&name), accounts: Path::new(accounts).join(&name), is_v2 };
        if is_v2 {
            fs::write(Path::new(V2).join("cgroup.subtree_control"), "+cpu")?;
        }
        fs::create_dir_all(&share.limits)?;
        fs::create_dir_all(&share.accounts)?;
        Ok(share)
    }

    /// The files to which a process writes its id to become a member of the group.
    pub fn member_files(&self) -> Vec<PathBuf> {
        let mut groups = vec![&self.limits, &self.accounts];
        groups.dedup();
        groups.into_iter().map(|group| group.join("cgroup.procs")).collect()
    }

    /// Limits the group, from now on, to the share of a core that a function with this much memory gets.
    pub fn limit_to(&self, memory_mb: u32) -> io::Result<()> {
        let period = PERIOD.as_micros();
        let quota = period * u128::from(memory_mb) / u128::from(WHOLE_CORE_MB);
        if self.is_v2 {
            return fs::write(self.limits.join("cpu.max"), format!("{quota} {period}"));
        }
        fs::write(self.limits.join("cpu.cfs_period_us"), period.to_string())?;
        fs::write(self.limits.join("cpu.cfs_quota_us"), quota.to_string())
    }

    /// The CPU time that the group has used.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        let unreadable = || io::Error::other("the group's CPU time cannot be read");
        if self.is_v2 {
            let stat = fs::read_to_string(self.accounts.join("cpu.stat"))?;
            let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok());
            return usage.map(Duration::from_micros).ok_or_else(unreadable);
        }
        let usage = fs::read_to_string(self.accounts.join("cpuacct.usage"))?;
        usage.trim().parse().map(Duration::from_nanos).map_err(|_| unreadable())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        for group in [&self.limits, &self.accounts] {
            // In version 2 both are the same directory, so the second removal fails.
            let _ = fs::remove_dir(group);
        }
    }
}
