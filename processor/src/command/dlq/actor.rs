//! Who runs the command, for the audit trail.

use std::fs::read_to_string;

use evp_shared::dead_letters::Actor;

/// The user of the operating system, by name where it has one, and the host.
pub(super) fn current() -> Actor {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let users = read_to_string("/etc/passwd").unwrap_or_default();
    Actor::here(user_in(&status, &users))
}

/// The kernel says who runs this; the environment may say anything.
fn user_in(status: &str, users: &str) -> String {
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let Some(uid) = uids.and_then(|uids| uids.split_whitespace().next()) else {
        return "unknown".to_owned();
    };
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then_some(name)
    });
    name.map_or_else(|| format!("uid {uid}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_who_the_kernel_says_it_is() {
        let users = "root:x:0:0:root:/root:/bin/sh\nevp:x:999:999::/:/bin/false\n";
        let status = |uid: u32| format!("Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n");
        assert_eq!(user_in(&status(999), users), "evp");
        assert_eq!(user_in(&status(5), users), "uid 5");
        assert_eq!(user_in("", users), "unknown");
    }
}
