use std::ffi::OsString;
use std::io::Write;
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use super::*;
use crate::config::{AuthMode, ByteSize, RedisConfig, SecretUrl, ServerConfig};

const EVENTS: Key<NonZeroU32> = Key::new("ingest.frame.events", "1000", "").range("1", "10000");
const BYTES: Key<ByteSize> = Key::new("ingest.frame.bytes", "512KiB", "");
const WAIT: Key<Duration> = Key::new("ingest.wait", "250ms", "").range("1ms", "1m");
const ORIGINS: Key<Vec<String>> = Key::new("ingest.cors.origins", "", "");
const TOKEN: Key<Option<SecretUrl>> = Key::new("ingest.token", "", "");

fn faults(source: Source) -> Vec<String> {
    let problems = source
        .finish(())
        .expect_err("the configuration should have problems");
    problems
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn later_layers_win() {
    let file = "[ingest.frame]\nevents = 7\nbytes = \"1MiB\"\n";
    let mut source = Source::from_text(file, &[("EVP__INGEST__FRAME__EVENTS", "8")]).unwrap();
    let read = (
        source.get(&EVENTS).get(),
        source.get(&BYTES),
        source.get(&WAIT),
    );
    let expected = (8, ByteSize(1 << 20), Duration::from_millis(250));
    assert_eq!(source.finish(read).unwrap(), expected);
}

#[test]
fn all_problems_are_reported_together() {
    let file = "[ingest]\nwait = \"2h\"\n[ingest.frame]\nevents = 0\nbytez = \"1MiB\"\n[nonsense]\na = 1\n";
    let mut source = Source::from_text(file, &[("EVP__INGEST__FRAME__BYTES", "4096")]).unwrap();
    source.get(&EVENTS);
    source.get(&BYTES);
    source.get(&WAIT);
    source.problem("ingest.wait", "contradicts another key: change it");
    let problems = source.finish(()).unwrap_err();
    let expected = "the configuration cannot be used:
  ingest.frame.events is \"0\": write a whole number from 1 to 10000 (set in the configuration file)
  ingest.frame.bytes is \"4096\": write a whole number with a unit of B, KiB, MiB or GiB, such as 512KiB (set in the environment)
  ingest.wait is \"2h\": write a duration such as `250ms`, `10s`, `5m` from 1ms to 1m (set in the configuration file)
  ingest.wait contradicts another key: change it
  ingest.frame.bytez is unknown (set in the configuration file): did you mean ingest.frame.bytes?
  nonsense.a is unknown (set in the configuration file): remove it; docs/CONFIGURATION.md lists all keys";
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn sections_of_other_services_are_not_judged() {
    let file = "[processor]\nbulk = 1\n[storage]\nindexes = [\"type\"]\n";
    let mut source = Source::from_text(file, &[("EVP__PROCESSOR__X", "1")]).unwrap();
    source.get(&EVENTS);
    source.finish(()).unwrap();
}

#[test]
fn an_unknown_variable_is_reported() {
    let mut source = Source::from_text("", &[("EVP__INGEST__FRAME__EVENT", "1")]).unwrap();
    source.get(&EVENTS);
    let expected =
        "ingest.frame.event is unknown (set in the environment): did you mean ingest.frame.events?";
    assert_eq!(faults(source), [expected]);
}

#[test]
fn lists_come_from_arrays_and_from_commas() {
    let cases = [
        (
            "[ingest.cors]\norigins = [\"http://a\", \"http://b\"]",
            vec![],
        ),
        (
            "",
            vec![("EVP__INGEST__CORS__ORIGINS", "http://a, http://b")],
        ),
    ];
    for (file, environment) in cases {
        let mut source = Source::from_text(file, &environment).unwrap();
        assert_eq!(source.get(&ORIGINS), ["http://a", "http://b"]);
    }
    let mut source = Source::from_text("[ingest]\nwait = [\"1s\"]", &[]).unwrap();
    source.get(&WAIT);
    assert_eq!(
        faults(source),
        ["ingest.wait is a list: write a single value"]
    );
}

#[test]
fn plain_variables_yield_to_evp_variables_and_override_the_file() {
    let url = |environment: &[(&str, &str)]| {
        let file = "[redis]\nurl = \"redis://file:1\"";
        let mut source = Source::from_text(file, environment).unwrap();
        let url = RedisConfig::read(&mut source).url;
        source.finish(url).unwrap().expose().to_owned()
    };
    let plain = ("REDIS_URL", "redis://plain:1");
    assert_eq!(url(&[]), "redis://file:1");
    assert_eq!(url(&[plain]), "redis://plain:1");
    assert_eq!(
        url(&[plain, ("EVP__REDIS__URL", "redis://evp:1")]),
        "redis://evp:1"
    );
    assert_eq!(url(&[("REDIS_URL", "")]), "redis://file:1");
}

#[test]
fn port_sets_only_the_port_of_the_listener() {
    let listen = |file: &str, environment: &[(&str, &str)]| {
        let mut source = Source::from_text(file, environment).unwrap();
        let config = ServerConfig::read(&mut source, "127.0.0.1:8080", AuthMode::Open);
        source.finish(config.listen.to_string())
    };
    let port = ("PORT", "3000");
    assert_eq!(listen("", &[port]).unwrap(), "127.0.0.1:3000");
    assert_eq!(
        listen("[server]\nlisten = \"[::1]:1\"", &[port]).unwrap(),
        "[::1]:3000"
    );
    let own = ("EVP__SERVER__LISTEN", "127.0.0.1:4000");
    assert_eq!(listen("", &[port, own]).unwrap(), "127.0.0.1:4000");
    let problems = listen("", &[("PORT", "http")]).unwrap_err();
    assert!(
        problems.to_string().contains("PORT is \"http\""),
        "{problems}"
    );
}

#[test]
fn a_secret_may_be_named_by_a_file_but_not_given_twice() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "redis://:hunter2@h:1").unwrap();
    let path = file.path().to_str().unwrap();
    let by_file = ("EVP__INGEST__TOKEN_FILE", path);

    let mut source = Source::from_text("", &[by_file]).unwrap();
    let token = source.get(&TOKEN);
    assert_eq!(format!("{token:?}"), "Some(redis://***@h:1)");
    let token = source.finish(token).unwrap().unwrap();
    assert_eq!(token.expose(), "redis://:hunter2@h:1");

    let mut source = Source::from_text("", &[by_file, ("EVP__INGEST__TOKEN", "x")]).unwrap();
    source.get(&TOKEN);
    assert_eq!(
        faults(source),
        ["ingest.token is set twice: remove it or ingest.token_file"]
    );

    let mut source = Source::from_text("", &[("EVP__INGEST__TOKEN_FILE", "/nowhere")]).unwrap();
    source.get(&TOKEN);
    assert!(faults(source)[0].starts_with("ingest.token_file names \"/nowhere\", which cannot"));
}

#[test]
fn a_bad_secret_is_not_repeated_in_the_problem() {
    let mut source = Source::from_text("", &[("REDIS_URL", "hunter2")]).unwrap();
    RedisConfig::read(&mut source);
    let faults = faults(source).join("\n");
    assert!(
        faults.contains("redis.url is no URL") && !faults.contains("hunter2"),
        "{faults}"
    );
}

#[test]
fn a_source_shows_names_and_not_values() {
    let source = Source::from_text("", &[("REDIS_URL", "redis://:hunter2@h:1")]).unwrap();
    let shown = format!("{source:?}");
    assert!(
        shown.contains("redis.url") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn an_unreadable_or_broken_file_is_named() {
    let problems = Source::load(Some(Path::new("/nowhere/evp.toml"))).unwrap_err();
    assert!(
        problems
            .to_string()
            .contains("/nowhere/evp.toml cannot be read"),
        "{problems}"
    );
    let problems = Source::from_text("[ingest\n", &[]).unwrap_err();
    assert!(
        problems.to_string().contains("is no valid TOML"),
        "{problems}"
    );
}

#[test]
fn only_our_variables_must_be_utf8() {
    let broken = || OsString::from_vec(vec![0xff]);
    let variables = [
        (OsString::from("LANG"), broken()),
        (broken(), OsString::from("x")),
        (OsString::from("EVP__LOG__LEVEL"), broken()),
    ];
    let mut problems = Vec::new();
    assert!(read_environment(variables.into_iter(), &mut problems).is_empty());
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].key, "EVP__LOG__LEVEL");
}
