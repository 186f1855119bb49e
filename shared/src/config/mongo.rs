//! `[mongo]`

use std::path::PathBuf;

use super::{SecretUrl, Source};

/// MongoDB takes 63; a second database has `_access` behind the name.
const NAME_BYTES_MAX: usize = 56;

crate::config_section! {
    /// How to reach MongoDB.
    pub struct MongoConfig: keys(source) in "mongo" {
        /// Connection string of MongoDB; `MONGO_URI` in the environment sets it too.
        uri: SecretUrl = "mongodb://127.0.0.1:27017";
        /// Database that holds events, receipts and dead letters; tenants, keys and the audit lie in a
        /// second one, whose name has `_access` behind it. Two installations on one MongoDB need two
        /// names.
        database: String = "evp";
        /// PEM file of the authority that signed MongoDB's certificate; turns TLS on. Without it,
        /// and with TLS asked for by the connection string, the public authorities are trusted.
        ca_file: Option<PathBuf> = "";
    }
}

impl MongoConfig {
    /// The database `database` at `uri`, for tools and tests.
    pub fn at(uri: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            uri: SecretUrl::new(uri),
            database: database.into(),
            ca_file: None,
        }
    }

    /// Reads the section.
    pub fn read(source: &mut Source) -> Self {
        let config = Self::keys(source);
        if !["mongodb", "mongodb+srv"].contains(&config.uri.scheme()) {
            source.problem(
                "mongo.uri",
                "is no MongoDB connection string: write mongodb://host:27017 or mongodb+srv://host",
            );
        }
        let forbidden = ['/', '\\', '.', ' ', '"', '$', '\0'];
        if config.database.len() > NAME_BYTES_MAX || config.database.contains(forbidden) {
            source.problem(
                "mongo.database",
                "is no database name: write at most 56 bytes without / \\ . \" $ and blanks",
            );
        }
        config
    }
}
