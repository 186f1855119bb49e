use evp_devstack::{MongoOptions, MongoServer};

fn small() -> MongoOptions {
    MongoOptions {
        cache_gb: 0.25,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_standalone_server_starts_again_after_sigkill() {
    let mut mongo = MongoServer::start(small()).await.unwrap();
    assert_eq!(
        mongo.url(),
        format!("mongodb://127.0.0.1:{}/", mongo.port())
    );
    let (port, pid) = (mongo.port(), mongo.pid());
    mongo.kill().await;
    assert!(mongo.primary().await.is_none());
    mongo.restart().await.unwrap();
    assert_eq!(mongo.primary().await, Some(0));
    assert_eq!(mongo.port(), port);
    assert_ne!(mongo.pid(), pid);
    let dir = mongo.dir().to_path_buf();
    mongo.stop().await;
    drop(mongo);
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_set_of_three_elects_another_primary_when_one_is_killed() {
    let options = MongoOptions {
        replica_set: Some(3),
        ..small()
    };
    let mut mongo = MongoServer::start(options).await.unwrap();
    assert!(mongo.url().ends_with("/?replicaSet=evp"), "{}", mongo.url());
    let first = mongo.primary().await.unwrap();
    mongo.kill_member(first).await;
    let elected = async {
        loop {
            if let Some(other) = mongo.primary().await {
                return other;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let second = tokio::time::timeout(std::time::Duration::from_secs(180), elected)
        .await
        .unwrap();
    assert_ne!(first, second);
    mongo.restart_member(first).await.unwrap();
    mongo.stop().await;
}

#[tokio::test]
async fn a_set_of_one_keeps_its_configuration_over_a_restart() {
    let options = MongoOptions {
        replica_set: Some(1),
        ..small()
    };
    let mut mongo = MongoServer::start(options).await.unwrap();
    assert_eq!(mongo.primary().await, Some(0));
    mongo.restart().await.unwrap();
    assert_eq!(mongo.primary().await, Some(0));
}

#[tokio::test]
async fn options_of_the_caller_replace_the_usual_ones() {
    let extra = "--syncdelay 1 --wiredTigerCacheSizeGB 0.3 --wiredTigerEngineConfigString \
                 eviction_dirty_target=10 --setParameter diagnosticDataCollectionEnabled=true";
    let options = MongoOptions {
        extra: extra.split_whitespace().map(str::to_owned).collect(),
        ..small()
    };
    let mongo = MongoServer::start(options).await.unwrap();
    assert_eq!(mongo.primary().await, Some(0));
}
