mod options;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bson::{Document, doc};

use crate::readiness::await_ready;
use crate::{Error, Result, ScratchDir, Service, find, port};
pub use options::MongoOptions;
use options::REPLICA_SET;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// An election writes each vote to disk; beside a build that keeps the disk busy it takes long.
const PRIMARY_WITHIN: Duration = Duration::from_secs(180);
const PRIMARY_POLL: Duration = Duration::from_millis(50);
const STOP_GRACE: Duration = Duration::from_secs(30);
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Another process may take a free port between finding and binding it.
const PORT_ATTEMPTS: usize = 5;

/// A running `mongod`, or a replica set of them; killed when dropped, and when we end in any way.
#[derive(Debug)]
pub struct MongoServer {
    members: Vec<Member>,
    replica_set: bool,
    dir: PathBuf,
    _scratch: Option<ScratchDir>,
}

#[derive(Debug)]
struct Member {
    service: Service,
    port: u16,
}

impl MongoServer {
    /// Finds `mongod`, starts it and waits until it answers, as a replica set until it has a
    /// primary.
    ///
    /// # Errors
    /// Those of [`find::mongod`]; [`Error::PortTaken`]; [`Error::Exited`] and [`Error::NotReady`]
    /// with the last lines of its log; [`Error::Command`] when the replica set cannot be initiated.
    pub async fn start(options: MongoOptions) -> Result<Self> {
        let binary = find::mongod().await?;
        let (dir, scratch) = ScratchDir::or_given(options.dir.as_deref())?;
        let mut server = Self {
            members: Vec::new(),
            replica_set: options.replica_set.is_some(),
            dir,
            _scratch: scratch,
        };
        for index in 0..options.replica_set.unwrap_or(1).max(1) {
            let member = server.start_member(&binary, &options, index).await?;
            server.members.push(member);
        }
        if server.replica_set {
            server.initiate().await?;
            server.await_members().await?;
        }
        Ok(server)
    }

    /// `mongodb://127.0.0.1:PORT/`, with all members and `replicaSet` when it is a replica set.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.members.iter().map(Member::host).collect();
        let query = if self.replica_set {
            format!("?replicaSet={REPLICA_SET}")
        } else {
            String::new()
        };
        format!("mongodb://{}/{query}", hosts.join(","))
    }

    /// The port the (first) member listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.members.first().map_or(0, |member| member.port)
    }

    /// Its data directory; members of a replica set have folders in it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process id of the (first) member; `None` when it is known to have ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.members.first().and_then(|member| member.service.pid())
    }

    /// Kills all members with SIGKILL and waits until they are gone.
    pub async fn kill(&mut self) {
        for member in &mut self.members {
            member.service.kill().await;
        }
    }

    /// Starts all members again on the same ports and directories, killing them first.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn restart(&mut self) -> Result<()> {
        for member in &mut self.members {
            member.service.restart().await?;
        }
        for member in &mut self.members {
            member.await_answer().await?;
        }
        if self.replica_set {
            self.await_members().await.map(drop)
        } else {
            Ok(())
        }
    }

    /// Whether the (first) member has ended by itself, or does within seconds.
    pub async fn has_ended(&mut self) -> bool {
        let Some(member) = self.members.first_mut() else {
            return true;
        };
        let ended = tokio::time::timeout(ENDS_WITHIN, member.service.wait());
        ended.await.is_ok()
    }

    /// Stops all members where they are (SIGSTOP): connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.members
            .iter()
            .for_each(|member| member.service.pause());
    }

    /// Lets paused members go on.
    pub fn resume(&self) {
        self.members
            .iter()
            .for_each(|member| member.service.resume());
    }

    /// Ends all members in an orderly way (SIGTERM).
    pub async fn stop(&mut self) {
        // All at once: a primary that ends first waits for a secondary to take over.
        self.members
            .iter()
            .for_each(|member| member.service.ask_to_end());
        for member in &mut self.members {
            member.service.term(STOP_GRACE).await;
        }
    }

    /// Kills one member of a replica set with SIGKILL.
    ///
    /// # Panics
    /// When there is no such member.
    pub async fn kill_member(&mut self, index: usize) {
        self.members[index].service.kill().await;
    }

    /// Stops one member of a replica set where it is (SIGSTOP).
    ///
    /// # Panics
    /// When there is no such member.
    pub fn pause_member(&self, index: usize) {
        self.members[index].service.pause();
    }

    /// Lets a paused member go on.
    ///
    /// # Panics
    /// When there is no such member.
    pub fn resume_member(&self, index: usize) {
        self.members[index].service.resume();
    }

    /// Starts one member again and waits until it answers; it may still be catching up.
    ///
    /// # Errors
    /// As for [`Self::start`].
    ///
    /// # Panics
    /// When there is no such member.
    pub async fn restart_member(&mut self, index: usize) -> Result<()> {
        self.members[index].service.restart().await?;
        self.members[index].await_answer().await
    }

    /// The member that calls itself primary, if one does.
    pub async fn primary(&self) -> Option<usize> {
        for (index, member) in self.members.iter().enumerate() {
            let hello = wire::run(member.port, &doc! { "hello": 1, "$db": "admin" }).await;
            if hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false)) {
                return Some(index);
            }
        }
        None
    }

    async fn start_member(
        &self,
        binary: &Path,
        options: &MongoOptions,
        index: u8,
    ) -> Result<Member> {
        let wanted = options.port.filter(|_| index == 0);
        let dir = if self.replica_set {
            self.dir.join(format!("member-{index}"))
        } else {
            self.dir.clone()
        };
        std::fs::create_dir_all(&dir).map_err(Error::io(format!("create {}", dir.display())))?;
        let mut attempt = 1;
        loop {
            let port = port::choose("mongod", wanted)?;
            let service = Service::start(options.spec(binary, port, &dir))?;
            let mut member = Member { service, port };
            match member.await_answer().await {
                Ok(()) => return Ok(member),
                Err(error)
                    if error.is_port_race() && wanted.is_none() && attempt < PORT_ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives a new replica set its members; one that has been initiated keeps what it has.
    async fn initiate(&self) -> Result<()> {
        let members: Vec<Document> = (0..)
            .zip(&self.members)
            .map(|(id, member): (i32, _)| doc! { "_id": id, "host": member.host() })
            .collect();
        // Below the default times, so that a test of a failover takes seconds, but not so far that
        // votes, which are written to disk, come too late on a busy one.
        let settings = doc! { "electionTimeoutMillis": 4000, "heartbeatIntervalMillis": 500 };
        let config = doc! { "_id": REPLICA_SET, "members": members, "settings": settings };
        let command = doc! { "replSetInitiate": config, "$db": "admin" };
        let reply = wire::run(self.port(), &command)
            .await
            .map_err(Error::io("initiate the replica set"))?;
        match (reply.get_f64("ok"), reply.get_str("codeName")) {
            (Ok(1.0), _) | (_, Ok("AlreadyInitialized")) => Ok(()),
            _ => Err(Error::Command {
                command: "replSetInitiate".to_owned(),
                reason: reply
                    .get_str("errmsg")
                    .unwrap_or("no reason given")
                    .to_owned(),
            }),
        }
    }

    /// Whether every member is primary or secondary.
    async fn all_serve(&self) -> bool {
        for member in &self.members {
            let hello = wire::run(member.port, &doc! { "hello": 1, "$db": "admin" }).await;
            let serves = hello.is_ok_and(|hello| {
                let is = |state: &str| hello.get_bool(state).unwrap_or(false);
                is("isWritablePrimary") || is("secondary")
            });
            if !serves {
                return false;
            }
        }
        true
    }

    /// A member that is still copying the first data neither votes nor can be elected: a set whose
    /// primary is killed by then never gets another one. So all members are waited for.
    async fn await_members(&mut self) -> Result<usize> {
        let elected = async {
            loop {
                if let Some(index) = self.primary().await
                    && self.all_serve().await
                {
                    return index;
                }
                tokio::time::sleep(PRIMARY_POLL).await;
            }
        };
        tokio::time::timeout(PRIMARY_WITHIN, elected)
            .await
            .map_err(|_| Error::NotReady {
                name: "the replica set".to_owned(),
                waited: PRIMARY_WITHIN,
                log: self
                    .members
                    .first()
                    .map(|member| member.service.log_tail())
                    .unwrap_or_default(),
            })
    }
}

impl Member {
    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn await_answer(&mut self) -> Result<()> {
        let port = self.port;
        await_ready(&mut self.service, READY_WITHIN, async || {
            answers_hello(port).await
        })
        .await
    }
}

/// Tells whether a mongod answers `hello` there.
pub(crate) async fn answers_hello(port: u16) -> bool {
    wire::run(port, &doc! { "hello": 1, "$db": "admin" })
        .await
        .is_ok()
}
