//! A Redis server of a test's own, or a cluster of three.

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
        let process = Self::spawn(port, &directory, &[]);
        let server = Self { process, port, directory };
        server.until_it_answers().await;
        server
    }

    /// Starts one on a free port that has not been made part of a cluster yet.
    async fn start_node() -> Self {
        // The nodes talk to each other on the port that is greater by this.
        const TO_BUS_PORT: u16 = 10_000;
        let port = eventually("two free ports", async || {
            let free = TcpListener::bind("127.0.0.1:0").ok()?;
            // Not from the range in which the system takes the ports of connections.
            let port = free.local_addr().ok()?.port() % 12_000 + 20_000;
            let _client = TcpListener::bind(("127.0.0.1", port)).ok()?;
            let _bus = TcpListener::bind(("127.0.0.1", port + TO_BUS_PORT)).ok()?;
            Some(port)
        })
        .await;
        let directory = std::env::temp_dir().join(fresh_name("redis"));
        std::fs::create_dir_all(&directory).expect("a directory");
        let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let process = Self::spawn(port, &directory, &cluster);
        let server = Self { process, port, directory };
        server.until_it_answers().await;
        server
    }

    /// With every write on disk before its answer, so that it remembers after a restart.
    fn spawn(port: u16, directory: &PathBuf, more: &[&str]) -> Child {
        Command::new(server("REDIS_SERVER"))
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--save", ""])
            .args(more)
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

    /// Sends it a command, in words, and returns what it answers, as text.
    ///
    /// # Panics
    /// If it answers with an error.
    pub async fn call(&self, words: &[&str]) -> String {
        let client = ::redis::Client::open(self.url(0)).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        let mut command = ::redis::cmd(words.first().expect("a command"));
        let answer: ::redis::Value = command
            .arg(words.get(1..).unwrap_or_default())
            .query_async(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        ::redis::from_redis_value(answer.clone()).unwrap_or_else(|_| format!("{answer:?}"))
    }

    /// Makes this server a replica of the other one, and waits until it has what the other one has.
    pub async fn follow(&self, primary: &Self) {
        self.call(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]).await;
        self.until_it_says(&["INFO", "replication"], "master_link_status:up").await;
    }

    async fn until_it_says(&self, words: &[&str], what: &str) {
        eventually(what, async || self.call(words).await.contains(what).then_some(())).await;
    }

    /// Where it listens: address and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
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
        self.process = Self::spawn(self.port, &self.directory, &[]);
        self.until_it_answers().await;
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Its files only; the process is ended when its handle is dropped.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A cluster of three primaries that share the slots, and a replica of the first.
pub struct RedisCluster {
    primaries: [RedisServer; 3],
    replica: RedisServer,
}

impl RedisCluster {
    /// Starts one on free ports.
    pub async fn start() -> Self {
        let (first, second) = (RedisServer::start_node().await, RedisServer::start_node().await);
        let primaries = [first, second, RedisServer::start_node().await];
        let cluster = Self { primaries, replica: RedisServer::start_node().await };
        let slots: Vec<String> = (0..16_384).map(|slot: u16| slot.to_string()).collect();
        for (primary, slots) in cluster.primaries.iter().zip(slots.chunks(5_462)) {
            let words: Vec<&str> =
                ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect();
            primary.call(&words).await;
        }
        let [first, ..] = &cluster.primaries;
        for node in cluster.nodes() {
            first.call(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string()]).await;
        }
        for node in cluster.nodes() {
            node.until_it_says(&["CLUSTER", "INFO"], "cluster_known_nodes:4").await;
            node.until_it_says(&["CLUSTER", "INFO"], "cluster_state:ok").await;
        }
        let first_id = first.call(&["CLUSTER", "MYID"]).await;
        cluster.replica.call(&["CLUSTER", "REPLICATE", &first_id]).await;
        cluster.replica.until_it_says(&["INFO", "replication"], "master_link_status:up").await;
        for node in cluster.nodes() {
            node.until_it_says(&["CLUSTER", "NODES"], &format!("slave {first_id}")).await;
        }
        cluster
    }

    /// The URL of one node, which leads to all.
    #[must_use]
    pub fn url(&self) -> String {
        self.primaries[0].url(0).trim_end_matches("/0").to_owned()
    }

    /// Hands the slots of the first primary over to its replica; the first becomes the replica.
    pub async fn fail_over(&self) {
        self.replica.call(&["CLUSTER", "FAILOVER"]).await;
        self.replica.until_it_says(&["INFO", "replication"], "role:master").await;
        self.primaries[0].until_it_says(&["INFO", "replication"], "role:slave").await;
    }

    /// How many keys each node that is a primary now has.
    pub async fn keys(&self) -> Vec<usize> {
        let mut keys = Vec::new();
        for node in self.nodes() {
            if node.call(&["INFO", "replication"]).await.contains("role:master") {
                keys.push(node.call(&["DBSIZE"]).await.parse().expect("a number"));
            }
        }
        keys
    }

    fn nodes(&self) -> impl Iterator<Item = &RedisServer> {
        self.primaries.iter().chain([&self.replica])
    }
}
