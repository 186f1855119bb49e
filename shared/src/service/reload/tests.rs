use std::io::Write as _;

use tempfile::NamedTempFile;

use super::*;
use crate::config::{Key, ProcessConfig, SecretUrl};

const BODY: Key<u32> = Key::new("ingest.body", "10", "");
const ROOM: Key<u32> = Key::new("ingest.room", "10", "").reloads();
const SERVER: Key<Option<SecretUrl>> = Key::new("mail.server", "", "");

#[derive(Debug)]
struct Config {
    body: u32,
    room: u32,
    server: Option<SecretUrl>,
    process: ProcessConfig,
}

impl ServiceConfig for Config {
    fn read(source: &mut Source) -> Self {
        let config = Self {
            body: source.get(&BODY),
            room: source.get(&ROOM),
            server: source.get(&SERVER),
            process: ProcessConfig::read(source, "127.0.0.1:0"),
        };
        if config.room < config.body {
            source.problem("ingest.room", "is less than ingest.body: raise it");
        }
        config
    }

    fn process(&self) -> &ProcessConfig {
        &self.process
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// A service that was started with this, and is to be reloaded with that.
fn reloaded(before: &str, after: &str) -> Result<(Config, Change), ConfigProblems> {
    let started: Read<Config> = read(Some(file(before).path())).unwrap();
    read_again(Some(file(after).path()), &started.settings)
}

#[test]
fn what_reloads_is_judged_beside_what_stays() {
    let before = "[ingest]\nbody = 20\nroom = 30";
    let (config, change) = reloaded(before, "[ingest]\nbody = 40\nroom = 50").unwrap();
    assert_eq!((config.body, config.room), (20, 50));
    assert_eq!(names(&change.taken), "ingest.room");
    assert_eq!(names(&change.left), "ingest.body");

    // Good by itself, and good once it is restarted.
    let problems = reloaded(before, "[ingest]\nbody = 5\nroom = 10").unwrap_err();
    assert_eq!(problems.problems()[0].key, "ingest.room");
}

#[test]
fn a_secret_that_stays_is_that_of_the_start_whatever_its_file_holds() {
    let secret = file("smtp://:first@h");
    let config = format!("[mail]\nserver_file = {:?}\n", secret.path());
    let started: Read<Config> = read(Some(file(&config).path())).unwrap();
    std::fs::write(secret.path(), "smtp://:second@h").unwrap();
    let more = format!("{config}[ingest]\nroom = 11");
    let (found, change) =
        read_again::<Config>(Some(file(&more).path()), &started.settings).unwrap();
    assert_eq!(
        (found.server.unwrap().expose(), found.room),
        ("smtp://:first@h", 11)
    );
    assert_eq!(names(&change.left), "mail.server");
    let shown = format!("{change:?}");
    assert!(
        !shown.contains("first") && !shown.contains("second"),
        "{shown}"
    );
}

#[test]
fn who_registers_after_a_reload_takes_it_over_too() {
    let reloads = Reloads::default();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let take = |name: &'static str| {
        let taken = Arc::clone(&taken);
        reloads.on(move |number: &u32| taken.lock().push((name, *number)));
    };
    take("early");
    reloads.hand_out(1);
    take("late");
    reloads.hand_out(2);
    let expected = [("early", 1), ("late", 1), ("early", 2), ("late", 2)];
    assert_eq!(*taken.lock(), expected);
}
