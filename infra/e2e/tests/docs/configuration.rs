//! docs/CONFIGURATION.md is made from the keys, and one file serves all services.
//!
//! `EVP_BLESS=1 cargo test --workspace --test docs` writes the page.

use std::collections::BTreeMap;

use evp_shared::config::{KeyRow, SECTIONS, Source, reference};
use evp_shared::service::ServiceConfig;

use crate::{read, repository};

const PAGE: &str = "docs/CONFIGURATION.md";

const HEAD: &str = "\
# Configuration

Made from the code: `EVP_BLESS=1 cargo test --workspace --test docs` writes this page.

Compiled defaults yield to the file given with `--config FILE.toml`, and that to the environment:
`ingest.frame.bytes` is `EVP__INGEST__FRAME__BYTES`. Lists are separated by commas there. A secret may
be given as a file: `redis.url_file`, or `EVP__REDIS__URL_FILE`, names one that holds the value.
`REDIS_URL`, `MONGO_URI` and, for a service started alone, `PORT` work too.

One file may serve all services: each reads what it needs and judges the sections it knows. All
problems are told at once, with exit code 64, before a port is bound; `--check-config` only judges.

On SIGHUP a running service reads all of it again. Keys marked *Reloads* are taken over, others that
changed are named in the log and wait for a restart; where anything is wrong, or contradicts what waits, all
stays as it was.

`server.listen` and `admin.listen` have a default for each service: those of ingest come first, then
the processor's (which has no public port), then the aggregator's.
";

/// All keys, each once; a key whose default depends on the service, once for each default.
fn all_keys() -> Vec<KeyRow> {
    let services = [
        keys_of::<evp_ingest::IngestConfig>(),
        keys_of::<evp_processor::config::ProcessorConfig>(),
        keys_of::<evp_aggregator::AggregatorConfig>(),
    ];
    let mut keys: Vec<KeyRow> = Vec::new();
    for key in services.into_iter().flatten() {
        let is_known = |known: &KeyRow| (known.name, known.default) == (key.name, key.default);
        if !keys.iter().any(is_known) {
            keys.push(key);
        }
    }
    keys
}

fn keys_of<C: ServiceConfig>() -> Vec<KeyRow> {
    let mut source = Source::from_text("", &[]).unwrap();
    C::read(&mut source);
    source.keys().to_vec()
}

#[test]
fn the_page_is_made_from_the_keys() {
    let page = format!("{HEAD}\n{}", reference(&all_keys()));
    if std::env::var_os("EVP_BLESS").is_some() {
        std::fs::write(repository(PAGE), &page).unwrap();
    }
    assert_eq!(
        read(PAGE),
        page,
        "run EVP_BLESS=1 cargo test --workspace --test docs"
    );
}

#[test]
fn every_section_is_known_to_all_services() {
    for key in all_keys() {
        assert!(SECTIONS.contains(&key.section()), "{}", key.name);
    }
}

/// A file that sets every key of all services to its default, or to something like it.
fn everything() -> String {
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    let mut set = std::collections::BTreeSet::new();
    for key in all_keys().into_iter().filter(|key| set.insert(key.name)) {
        let (section, name) = key.name.split_once('.').unwrap();
        let value = match key.default {
            "" if key.kind.starts_with("list") => "[]".to_owned(),
            // Below two spans it is refused.
            "" if key.name == "storage.keep" => "\"9d\"".to_owned(),
            "" if key.name == "mail.smtp_url" => "\"smtps://x\"".to_owned(),
            "" if key.name == "notices.webhook_url" => "\"https://x\"".to_owned(),
            "" if key.name == "mail.from" => "\"x@x\"".to_owned(),
            "" if key.name == "aggregator.public_url" => "\"https://x\"".to_owned(),
            "" if key.kind.starts_with("duration") => "\"1s\"".to_owned(),
            // Files that are read at once.
            "" if key.name.starts_with("server.tls.") => "\"\"".to_owned(),
            // Too short, it is refused.
            "" if key.name == "admin.token" => "\"0123456789abcdef\"".to_owned(),
            "" => "\"x\"".to_owned(),
            default => format!("{default:?}"),
        };
        let rows = sections.entry(section).or_default();
        rows.push_str(&format!("{name} = {value}\n"));
    }
    let tables = sections
        .iter()
        .map(|(name, rows)| format!("[{name}]\n{rows}"));
    tables.collect()
}

/// What a service finds wrong with a file.
fn problems_of<C: ServiceConfig>(toml: &str) -> Option<String> {
    let mut source = Source::from_text(toml, &[]).unwrap();
    let config = C::read(&mut source);
    let refused = source.finish(config).err()?;
    Some(refused.to_string())
}

#[test]
fn ingest_takes_a_file_with_every_key_of_all_services() {
    assert_eq!(problems_of::<evp_ingest::IngestConfig>(&everything()), None);
}

#[test]
fn the_processor_takes_a_file_with_every_key_of_all_services() {
    type Config = evp_processor::config::ProcessorConfig;
    assert_eq!(problems_of::<Config>(&everything()), None);
}

#[test]
fn the_aggregator_takes_a_file_with_every_key_of_all_services() {
    assert_eq!(
        problems_of::<evp_aggregator::AggregatorConfig>(&everything()),
        None
    );
}

#[test]
fn a_typo_is_found_by_the_services_that_know_the_section() {
    let found = |toml: &str| {
        [
            problems_of::<evp_ingest::IngestConfig>(toml),
            problems_of::<evp_processor::config::ProcessorConfig>(toml),
            problems_of::<evp_aggregator::AggregatorConfig>(toml),
        ]
        .map(|problems| problems.is_some())
    };
    let cases = [
        ("[redis]\nurll = \"x\"", [true, true, true]),
        ("[ingest]\nhttp3 = \"on\"", [true, false, false]),
        ("[storage]\nindices = []", [false, true, false]),
        ("[query]\ntime = \"1s\"", [true, true, true]),
        ("[logs]\nlevel = \"info\"", [true, true, true]),
        ("[log]\nlevels = \"info\"", [true, true, true]),
        ("[ingset]\nhttp2 = \"on\"", [true, true, true]),
    ];
    for (toml, expected) in cases {
        assert_eq!(found(toml), expected, "{toml}");
    }
}
