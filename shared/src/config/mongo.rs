//! `[mongo]`

use std::path::PathBuf;

use super::{Key, SecretUrl, Source};

/// Where MongoDB is.
pub const MONGO_URI: Key<SecretUrl> = Key::new(
    "mongo.uri",
    "mongodb://127.0.0.1:27017",
    "Connection string of MongoDB; `MONGO_URI` in the environment sets it too.",
);

/// The database that holds everything.
pub const MONGO_DATABASE: Key<String> = Key::new(
    "mongo.database",
    "evp",
    "Database that holds events, receipts and dead letters. Two installations on one MongoDB need \
     two names.",
);

/// Whom to trust.
pub const MONGO_CA_FILE: Key<Option<PathBuf>> = Key::new(
    "mongo.ca_file",
    "",
    "PEM file of the authority that signed MongoDB's certificate; turns TLS on. Without it, and \
     with TLS asked for by the connection string, the public authorities are trusted.",
);

/// How to reach MongoDB.
#[derive(Debug, Clone)]
pub struct MongoConfig {
    /// See [`MONGO_URI`].
    pub uri: SecretUrl,
    /// See [`MONGO_DATABASE`].
    pub database: String,
    /// See [`MONGO_CA_FILE`].
    pub ca_file: Option<PathBuf>,
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
        let config = Self {
            uri: source.get(&MONGO_URI),
            database: source.get(&MONGO_DATABASE),
            ca_file: source.get(&MONGO_CA_FILE),
        };
        if !["mongodb", "mongodb+srv"].contains(&config.uri.scheme()) {
            source.problem(
                MONGO_URI.name,
                "is no MongoDB connection string: write mongodb://host:27017 or mongodb+srv://host",
            );
        }
        let forbidden = ['/', '\\', '.', ' ', '"', '$', '\0'];
        if config.database.len() > 63 || config.database.contains(forbidden) {
            source.problem(
                MONGO_DATABASE.name,
                "is no database name: write at most 63 bytes without / \\ . \" $ and blanks",
            );
        }
        config
    }
}
