//! A Redis server of a test's own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::{Child, Command};

use crate::servers::{fresh_name, server};
use crate::wait::eventually;

/// A server, which ends when this is dropped.
pub struct RedisServer {
    process: Child,
    port: u16,
    directory: PathBuf,
}

impl RedisServer {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let directory = std::env::temp_dir().join(fresh_name("redis"));
        std::fs::create_dir_all(&directory).expect("a directory");
        let process = Self::spawn(port, &directory);
        let server = Self { process, port, directory };
        server.until_it_answers().await;
        server
    }

    /// With every write on disk before its answer, so that it remembers after a restart.
    fn spawn(port: u16, directory: &PathBuf) -> Child {
        Command::new(server("REDIS_SERVER"))
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--save", ""])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the server starts")
    }

    async fn until_it_answers(&self) {
        // It accepts connections before it has read its files.
        let client = ::redis::Client::open(self.url(0)).expect("a URL");
        eventually("the Redis server", async || {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            ::redis::cmd("PING").query_async::<String>(&mut connection).await.ok()
        })
        .await;
    }

    /// The URL of one of its databases, which share nothing.
    #[must_use]
    pub fn url(&self, database: u8) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port)
    }

    /// Ends the process; its files stay.
    ///
    /// # Panics
    /// If it cannot be ended.
    pub async fn stop(&mut self) {
        self.process.kill().await.expect("the server is stopped");
    }

    /// Starts it again on the same port, with what it had written.
    pub async fn start_again(&mut self) {
        self.process = Self::spawn(self.port, &self.directory);
        self.until_it_answers().await;
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Its files only; the process is ended when its handle is dropped.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
