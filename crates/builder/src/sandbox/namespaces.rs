//! What keeps a user from making the namespaces that a sandbox needs.

use std::fs;

/// Settings of the kernel that forbid it, each with the value that does and what is to be said to root. The
/// second is a patch of Debian's and others', the third AppArmor's of Ubuntu.
const SETTINGS: [(&str, &str, &str); 3] = [
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
];

/// What is to be done where no user namespace can be made, for people.
pub(crate) fn how_to_allow() -> String {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
    let forbidding: Vec<&str> = SETTINGS
        .iter()
        .filter(|(name, value, _)| read(name).trim() == *value)
        .map(|(_, _, command)| *command)
        .collect();
    match forbidding.is_empty() {
        false => format!(
            "user namespaces are forbidden; as root: {}, and a file in /etc/sysctl.d that keeps it so",
            forbidding.join("; ")
        ),
        true => "user namespaces must be allowed: see sysctl kernel.unprivileged_userns_clone and \
                 user.max_user_namespaces; a container must allow user namespaces and mounts, too"
            .to_owned(),
    }
}
