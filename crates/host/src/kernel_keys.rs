//! Which keys the kernel has, as `/proc/keys` tells it (`proc_keys_show()` in `security/keys/proc.c`).

use crate::Machine;

/// The keyring that every kernel has that checks signatures of modules: where it is not shown, nothing is.
const BUILT_IN: &str = ".builtin_trusted_keys:";

/// The type of keys that are certificates, cut as it is shown.
const CERTIFICATE: &str = "asymmetri";

/// Whether the kernel has a key with this id (in hexadecimal), in whatever keyring: its certificate's subject key
/// identifier, or its serial number. `None` when the kernel does not tell.
pub(crate) fn has_key(machine: &Machine, key_id: &str) -> Option<bool> {
    let text = machine.text("proc/keys").ok()?;
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    if !lines.iter().any(|words| words.contains(&BUILT_IN)) {
        return None;
    }
    // Serial number, flags, users, timeout, permissions, owner, group, type; then `SUBJECT: KEY_ID: X509.rsa …`.
    let of_certificates = lines.iter().filter(|words| words.get(7) == Some(&CERTIFICATE));
    let mut ids =
        of_certificates.flat_map(|words| &words[8..]).filter_map(|word| word.strip_suffix(':'));
    Some(ids.any(|id| id.eq_ignore_ascii_case(key_id)))
}
