//! All attacks in the size that every test run can afford; `make attacks` makes larger ones.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use evp_e2e::attack::ALL;
use evp_e2e::scenario::Size;

macro_rules! promises {
    ($($promise:ident: $attack:literal;)*) => {
        const MADE: &[&str] = &[$($attack),*];
        $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() -> Result<()> {
            let attack = ALL.iter().find(|attack| attack.name == $attack);
            attack.context("no such attack")?.run(Size::Test).await.map(drop)
        }
        )*
    };
}

promises! {
    no_route_answers_without_a_credential_and_none_shows_anothers: "every_route";
    a_key_that_was_revoked_is_refused_everywhere: "revoked";
    a_revoked_key_stays_refused_whatever_is_forgotten: "forgotten";
    one_id_of_two_tenants_is_two_events: "one_id";
    who_sends_little_is_served_beside_who_sends_too_much: "flood";
    a_quota_is_held_over_instances_that_are_killed: "quota";
    keys_that_do_not_exist_cost_next_to_nothing: "unknown_keys";
    one_address_does_not_take_all_connections: "idle";
    a_certificate_is_exchanged_under_load: "certificates";
    nothing_listens_everywhere_without_protection: "wide_open";
    a_cookie_is_of_no_use_elsewhere: "cookie";
    a_code_by_mail_is_of_one_browser_and_one_use: "codes";
    what_is_left_holds_too: "odds";
    secrets_are_found_nowhere: "secrets";
    what_a_service_need_not_do_it_may_not: "least_privilege";
    what_open_mode_stored_is_the_default_tenants: "opened_before";
}

#[test]
fn every_attack_is_made() {
    let made: BTreeSet<&str> = MADE.iter().copied().collect();
    assert_eq!(made, ALL.iter().map(|attack| attack.name).collect());
}
