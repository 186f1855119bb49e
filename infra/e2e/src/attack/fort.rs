use anyhow::Result;
use evp_devstack::{MongoOptions, MongoServer, RedisOptions, RedisServer, ScratchDir, free_port};
use evp_shared::testing::TestRedis;
use evp_shared::testing::tls::Authority;

use crate::guard::{self, Guard, OPERATOR, url_as};

/// Where the events lie.
pub(super) const DATABASE: &str = "evp";

/// Redis and MongoDB as in production: TLS, and a user for each service. Beside it each has a port
/// without TLS, for who watches them.
#[derive(Debug)]
pub(super) struct Fort {
    pub(super) redis: RedisServer,
    pub(super) mongo: MongoServer,
    redis_port: u16,
    /// Certificates, and what signed them.
    files: ScratchDir,
    _guard: Guard,
}

impl Fort {
    /// Starts both.
    pub(super) async fn build() -> Result<Self> {
        let (files, authority) = (ScratchDir::new()?, Authority::new());
        let pair = authority.issue(2);
        pair.write(files.path())?;
        let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text);
        write("ca.pem", authority.pem())?;
        write("both.pem", &format!("{}{}", pair.cert, pair.key))?;
        let file = |name: &str| files.path().join(name).display().to_string();
        let redis_port = free_port()?;
        let guard = Guard::new("evp")?;
        let mut redis = guard.redis.clone();
        redis.extra.extend(
            [
                "--tls-port",
                &redis_port.to_string(),
                "--tls-cert-file",
                &file("cert.pem"),
                "--tls-key-file",
                &file("key.pem"),
                "--tls-ca-cert-file",
                &file("ca.pem"),
                "--tls-auth-clients",
                "no",
            ]
            .map(str::to_owned),
        );
        let mut mongo = guard.mongo.clone();
        mongo.extra.extend(
            [
                "--tlsMode",
                "preferTLS",
                "--tlsCertificateKeyFile",
                &file("both.pem"),
                "--tlsCAFile",
                &file("ca.pem"),
                "--tlsAllowConnectionsWithoutCertificates",
                // So that its files can be searched.
                "--wiredTigerCollectionBlockCompressor",
                "none",
                "--wiredTigerJournalCompressor",
                "none",
            ]
            .map(str::to_owned),
        );
        let (redis, mongo) = start(redis, mongo).await?;
        guard::found(&mongo.url()).await?;
        let fort = Self {
            redis,
            mongo,
            redis_port,
            files,
            _guard: guard,
        };
        guard::admit(&fort.database(OPERATOR).await?).await?;
        Ok(fort)
    }

    /// How a service reaches both.
    pub(super) fn env_of(&self, service: &str) -> Vec<(&'static str, String)> {
        let ca = self.files.path().join("ca.pem").display().to_string();
        let redis = format!("rediss://127.0.0.1:{}", self.redis_port);
        let mut env = vec![
            ("REDIS_URL", url_as(service, &redis)),
            ("EVP__REDIS__CA_FILE", ca.clone()),
            // As in a container, where the machine trusts nobody.
            ("SSL_CERT_DIR", "/nowhere".to_owned()),
        ];
        if service != "ingest" {
            env.push(("MONGO_URI", url_as(service, &self.mongo.url())));
            env.push(("EVP__MONGO__CA_FILE", ca));
        }
        env
    }

    /// Redis as `user`, without TLS.
    pub(super) async fn redis_as(&self, user: &str) -> TestRedis {
        TestRedis::at(url_as(user, &self.redis.url())).await
    }

    /// The database of events as `user`, without TLS.
    pub(super) async fn database(&self, user: &str) -> Result<mongodb::Database> {
        let client = mongodb::Client::with_uri_str(url_as(user, &self.mongo.url())).await?;
        Ok(client.database(DATABASE))
    }
}

async fn start(redis: RedisOptions, mongo: MongoOptions) -> Result<(RedisServer, MongoServer)> {
    Ok(tokio::try_join!(
        RedisServer::start(redis),
        MongoServer::start(mongo)
    )?)
}
