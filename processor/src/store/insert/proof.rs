//! What a read found, made sure of (docs/adr/0011-look-up-first.md).
//!
//! A majority read of a replica set shows only what no fail-over undoes. A server of its own shows what
//! is not synced yet, and forgets it when it is killed. It has one log: a write that waits for the log,
//! done after the read by the process that was read from, leaves what the read found in it.

use bson::{Document, doc, oid::ObjectId};
use evp_shared::store::META;

use super::{Inserter, StoreFailure};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    /// A replica set, or a router in front of some.
    Set,
    /// A server of its own, by its process.
    Alone(ObjectId),
}

impl Server {
    fn parse(hello: &Document) -> Result<Self, StoreFailure> {
        if hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid")
        {
            return Ok(Self::Set);
        }
        let version = hello.get_document("topologyVersion");
        let process = version.and_then(|version| version.get_object_id("processId"));
        process.map(Self::Alone).map_err(|_| StoreFailure::Protocol)
    }
}

impl Inserter {
    /// What `read` finds, sure to stay.
    ///
    /// # Errors
    /// [`StoreFailure`]; [`StoreFailure::Restarted`] where it may not stay.
    pub async fn sure<T, R>(&self, read: impl Fn() -> R) -> Result<T, StoreFailure>
    where
        T: Default + PartialEq,
        R: Future<Output = Result<T, StoreFailure>>,
    {
        // The server that is known may have ended long ago: then it is told anew, and read once more.
        for _ in 0..2 {
            let known = *self.server.lock();
            let since = match known {
                Some(server) => server,
                None => self.ask_server().await?,
            };
            let found = read().await?;
            if found == T::default() || self.stays(since).await? {
                return Ok(found);
            }
        }
        Err(StoreFailure::Restarted)
    }

    /// Whether what was read stays, where `since` answered before it was read.
    async fn stays(&self, since: Server) -> Result<bool, StoreFailure> {
        if let Server::Alone(_) = since {
            self.sync().await?;
        }
        Ok(self.ask_server().await? == since)
    }

    /// Waits for the log: a write that changes nothing does that as well.
    async fn sync(&self) -> Result<(), StoreFailure> {
        let reply = self
            .run(doc! {
                "update": META,
                "updates": [{ "q": { "_id": "nobody" }, "u": { "$unset": { "nothing": 1 } } }],
                "writeConcern": { "w": "majority", "j": true },
            })
            .await?;
        if let Ok(error) = reply.get_document("writeConcernError") {
            return Err(StoreFailure::WriteConcern(error.to_string()));
        }
        if reply.contains_key("writeErrors") {
            return Err(StoreFailure::Protocol);
        }
        Ok(())
    }

    async fn ask_server(&self) -> Result<Server, StoreFailure> {
        let server = Server::parse(&self.run(doc! { "hello": 1 }).await?)?;
        *self.server.lock() = Some(server);
        Ok(server)
    }

    async fn run(&self, command: Document) -> Result<Document, StoreFailure> {
        let database = self.database().clone();
        let run = async move { database.run_command(command).await };
        Ok(self.within(run).await??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_from_a_set_and_by_its_process() {
        let process = ObjectId::new();
        let version = doc! { "processId": process, "counter": 0_i64 };
        let alone = doc! { "topologyVersion": version.clone() };
        assert_eq!(Server::parse(&alone).unwrap(), Server::Alone(process));
        let member = doc! { "setName": "rs0", "topologyVersion": version.clone() };
        assert_eq!(Server::parse(&member).unwrap(), Server::Set);
        let router = doc! { "msg": "isdbgrid", "topologyVersion": version };
        assert_eq!(Server::parse(&router).unwrap(), Server::Set);
        assert!(Server::parse(&doc! { "ok": 1 }).is_err());
    }
}
