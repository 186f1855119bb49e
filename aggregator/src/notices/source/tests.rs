use evp_shared::clock::Clock;
use evp_shared::dead_letters::Size;

use super::*;

const LIMITS: DeadLetterLimits = DeadLetterLimits {
    events: 1_000,
    bytes: 1_000_000,
};

fn healthy() -> Vitals {
    Vitals {
        behind_ms: Some(20),
        backlog: 0,
        silent_ms: Some(10),
        memory_permille: 0,
        letters: Ok(Size::default()),
    }
}

/// What is not as it should be.
fn signs(vitals: Result<&Vitals, &QueryError>) -> Vec<(Source, Sign)> {
    let clock = Clock::manual(0);
    let mut judge = Judge::default();
    judge.judge(&seen(vitals, clock.now()));
    // By then dead letters of before the start are no news.
    clock.advance(LETTERS_NEWS);
    let signs = judge.judge(&seen(vitals, clock.now()));
    let all = Source::ALL.into_iter().zip(signs);
    all.filter(|(_, sign)| *sign != Sign::Good).collect()
}

fn seen<'v>(vitals: Result<&'v Vitals, &'v QueryError>, now: Instant) -> Seen<'v> {
    Seen {
        vitals,
        canary: Sign::Good,
        limits: LIMITS,
        now,
    }
}

#[test]
fn each_source_goes_by_its_own_figure() {
    assert_eq!(signs(Ok(&healthy())), []);
    let bad = |vitals: Vitals, source: Source, number: u64| {
        let found = signs(Ok(&vitals));
        assert_eq!(found, [(source, Sign::Bad(number))], "{vitals:?}");
    };
    let behind_ms = Some(61_000);
    bad(
        Vitals {
            behind_ms,
            ..healthy()
        },
        Source::StorageBehind,
        61,
    );
    let memory_permille = 805;
    bad(
        Vitals {
            memory_permille,
            ..healthy()
        },
        Source::RedisMemory,
        80,
    );
    for silent_ms in [None, Some(15_000)] {
        let backlog = 7;
        let vitals = Vitals {
            backlog,
            silent_ms,
            ..healthy()
        };
        bad(vitals, Source::NoProcessor, 7);
    }
    for (events, bytes) in [(800, 0), (0, 800_000)] {
        let letters = Ok(Size { events, bytes });
        bad(
            Vitals {
                letters,
                ..healthy()
            },
            Source::DeadLettersNearlyFull,
            80,
        );
    }
}

#[test]
fn nobody_who_reads_is_no_fault_while_nothing_waits() {
    let silent_ms = None;
    assert_eq!(
        signs(Ok(&Vitals {
            silent_ms,
            ..healthy()
        })),
        []
    );
}

#[test]
fn who_pauses_at_the_cap_of_dead_letters_is_not_missed() {
    let letters = Ok(Size {
        events: 1_000,
        bytes: 0,
    });
    let vitals = Vitals {
        letters,
        backlog: 7,
        silent_ms: Some(60_000),
        ..healthy()
    };
    let expected = [
        (Source::NoProcessor, Sign::Unknown),
        (Source::DeadLettersNearlyFull, Sign::Bad(100)),
    ];
    assert_eq!(signs(Ok(&vitals)), expected);
}

#[test]
fn what_cannot_be_seen_is_not_judged() {
    // What fails otherwise is no proof that it is away.
    let refused = QueryError::from(mongodb::error::Error::custom("refused"));
    for (error, sign) in [
        (QueryError::Timeout, Sign::Bad(0)),
        (refused, Sign::Unknown),
    ] {
        let found = signs(Err(&error));
        assert_eq!(found[0], (Source::RedisAway, sign));
        assert!(found[1..].iter().all(|(_, sign)| *sign == Sign::Unknown));
        assert_eq!(found.len(), Source::ALL.len());
        let letters = Err(error);
        let found = signs(Ok(&Vitals {
            letters,
            ..healthy()
        }));
        let expected = [
            (Source::MongodbAway, sign),
            (Source::DeadLettersAppear, Sign::Unknown),
            (Source::DeadLettersNearlyFull, Sign::Unknown),
        ];
        assert_eq!(found, expected);
    }
}

#[test]
fn at_a_bound_a_source_is_not_bad_and_good_in_turn() {
    let of = |behind_ms| {
        signs(Ok(&Vitals {
            behind_ms: Some(behind_ms),
            ..healthy()
        }))
    };
    assert_eq!(of(45_000), [(Source::StorageBehind, Sign::Unknown)]);
    assert_eq!(of(29_000), []);
    let of = |memory_permille| {
        signs(Ok(&Vitals {
            memory_permille,
            ..healthy()
        }))
    };
    assert_eq!(of(780), [(Source::RedisMemory, Sign::Unknown)]);
}

#[test]
fn a_canary_is_judged_by_who_looks_for_it_while_redis_answers() {
    let now = Clock::manual(0).now();
    let of = |vitals| {
        let canary = Sign::Bad(40);
        let seen = seen(vitals, now);
        let signs = Judge::default().judge(&Seen { canary, ..seen });
        signs[Source::CanaryLate as usize]
    };
    let healthy = healthy();
    assert_eq!(of(Ok(&healthy)), Sign::Bad(40));
    assert_eq!(of(Err(&QueryError::Timeout)), Sign::Unknown);
}

#[test]
fn dead_letters_are_news_for_ten_minutes_after_the_last() {
    let clock = Clock::manual(0);
    let mut judge = Judge::default();
    let mut of = |events| {
        let letters = Ok(Size { events, bytes: 0 });
        let vitals = Vitals {
            letters,
            ..healthy()
        };
        let signs = judge.judge(&seen(Ok(&vitals), clock.now()));
        signs[Source::DeadLettersAppear as usize]
    };
    // Of what was there before nobody knows whether it is: it may have been told before a restart.
    assert_eq!(of(3), Sign::Unknown);
    clock.advance(LETTERS_NEWS);
    assert_eq!(of(3), Sign::Good);
    assert_eq!(of(5), Sign::Bad(2));
    clock.advance(LETTERS_NEWS / 2);
    assert_eq!(of(6), Sign::Bad(3));
    clock.advance(LETTERS_NEWS * 3 / 4);
    // Some were purged.
    assert_eq!(of(1), Sign::Bad(3));
    clock.advance(LETTERS_NEWS / 4);
    assert_eq!(of(1), Sign::Good);
    assert_eq!(of(2), Sign::Bad(1));
}
