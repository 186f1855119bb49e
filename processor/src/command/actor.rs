//! Who runs the command, for the audit entry.

use evp_shared::dead_letters::Actor;

/// The user of the operating system, by name where it has one, and the host. The kernel says who
/// runs this; the environment may say anything.
pub(in crate::command) fn current() -> Actor {
    let uid = rustix::process::geteuid();
    Actor::here(whoami::username().unwrap_or_else(|_| format!("uid {}", uid.as_raw())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_who_the_kernel_says_it_is() {
        let id = |what| {
            let said = std::process::Command::new("id").arg(what).output().unwrap();
            String::from_utf8(said.stdout).unwrap().trim().to_owned()
        };
        let name = id("-un");
        let without_name = format!("uid {}", id("-u"));
        let expected = if name.is_empty() { without_name } else { name };
        assert_eq!(current().user, expected);
    }
}
