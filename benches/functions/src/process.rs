//! Starts, watches and ends the function's process.

use std::collections::HashMap;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::share::Share;

/// A shell script. It joins the control groups that its arguments before `--` name, waits for a line, and then runs the program
/// after `--` in its place.
const LAUNCHER: &str =
    r#"while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; read -r _; exec "$@" < /dev/null"#;

/// The running process of a function.
pub struct Function {
    child: Child,
}

impl Function {
    /// Starts `command` with exactly the variables of `environment`, as a member of the groups of `share`. Returns the process and
    /// the moment at which it was started.
    pub async fn start(
        command: &[String],
        environment: &HashMap<String, String>,
        share: Option<&Share>,
    ) -> io::Result<(Self, Instant)> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", LAUNCHER, "launcher"])
            .args(share.map(Share::member_files).unwrap_or_default())
            .arg("--")
            .args(command)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let mut launch = child.stdin.take().expect("it is piped");
        // By then the shell has reached the line where it waits.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let started = Instant::now();
        launch.write_all(b"\n").await?;
        Ok((Self { child }, started))
    }

    /// Waits for the process to end by itself, which a function should not do, and returns its status as text.
    pub async fn ended(&mut self) -> String {
        self.child
            .wait()
            .await
            .map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string())
    }

    /// The most resident memory that the process has used at once, in KiB.
    pub fn peak_kib(&self) -> io::Result<u64> {
        let pid = self.child.id().ok_or_else(|| io::Error::other("the function has ended"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok())
            .ok_or_else(|| io::Error::other("/proc has no VmHWM of the function"))
    }

    /// Kills the process.
    pub async fn kill(mut self) {
        // An error means that the process has ended by itself.
        let _ = self.child.kill().await;
    }
}
