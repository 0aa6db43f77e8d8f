//! Runs the bridge as a process.

use serde_json::Value;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, ChildStdout, Command};

use super::slack::{Slack, TOKEN};

/// A directory for one test. Dropping it removes the directory.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("slack-dev-bridge-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn sink(&self) -> PathBuf {
        self.0.join("sink")
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Bridge {
    child: Child,
    scratch: Scratch,
}

impl Bridge {
    /// Starts the bridge with its standard output, which is the sink, in a file.
    pub(crate) fn start(scratch: Scratch, slack: &Slack, arguments: &[&str]) -> Self {
        Self::with(scratch, slack, arguments, &[])
    }

    pub(crate) fn with(
        scratch: Scratch,
        slack: &Slack,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        // The file is appended to, so that the lines of an earlier process stay.
        let sink = File::options().create(true).append(true).open(scratch.sink()).unwrap();
        Self::spawn(scratch, slack, arguments, variables, Stdio::from(sink))
    }

    /// Starts the bridge with its standard output in a pipe, which holds 64 KiB until the test reads it.
    pub(crate) fn into_pipe(scratch: Scratch, slack: &Slack, arguments: &[&str]) -> (Self, ChildStdout) {
        let mut bridge = Self::spawn(scratch, slack, arguments, &[], Stdio::piped());
        let pipe = bridge.child.stdout.take().unwrap();
        (bridge, pipe)
    }

    fn spawn(
        scratch: Scratch,
        slack: &Slack,
        arguments: &[&str],
        variables: &[(&str, &str)],
        sink: Stdio,
    ) -> Self {
        let log = File::options().create(true).append(true).open(scratch.log()).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_slack-dev"))
            .arg("bridge")
            .args(arguments)
            .env_clear()
            .env("SLACK_APP_TOKEN", TOKEN)
            .env("SLACK_API_URL", &slack.api)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(sink)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, scratch }
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for the end of the process. Returns its exit code, or the negative number of the signal that ended it.
    pub(crate) async fn ended(&mut self) -> i32 {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        let status: ExitStatus = ended.unwrap_or_else(|_| panic!("it goes on:\n{}", self.log())).unwrap();
        status.code().unwrap_or_else(|| -status.signal().unwrap())
    }

    /// Ends the bridge as Ctrl-C does.
    pub(crate) async fn stop(&mut self) {
        self.signal("INT");
        assert_eq!(self.ended().await, 0, "{}", self.log());
    }

    /// Kills the process, and returns the directory for the next one.
    pub(crate) async fn kill(mut self) -> Scratch {
        self.child.kill().await.unwrap();
        self.scratch
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.log()).unwrap()
    }

    /// The lines on the sink.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = std::fs::read_to_string(self.scratch.sink()).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
