//! The function's process.

use std::collections::HashMap;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::share::Share;

/// Joins the control groups that are its arguments before `--`, waits for a line, and becomes the program after it.
const LAUNCHER: &str =
    r#"while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; read -r _; exec "$@" < /dev/null"#;

/// A function that runs.
pub struct Function {
    child: Child,
}

impl Function {
    /// Starts `command` with nothing but `environment`, and says when.
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
        // Until the shell has come to where it waits.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let started = Instant::now();
        launch.write_all(b"\n").await?;
        Ok((Self { child }, started))
    }

    /// Waits for the process to end, which it should not.
    pub async fn ended(&mut self) -> String {
        self.child
            .wait()
            .await
            .map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string())
    }

    /// The most memory that was resident at once, in KiB.
    pub fn peak_kib(&self) -> io::Result<u64> {
        let pid = self.child.id().ok_or_else(|| io::Error::other("the function has ended"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok())
            .ok_or_else(|| io::Error::other("/proc tells of no VmHWM"))
    }

    /// Ends it.
    pub async fn kill(mut self) {
        // An error: it has ended by itself.
        let _ = self.child.kill().await;
    }
}
