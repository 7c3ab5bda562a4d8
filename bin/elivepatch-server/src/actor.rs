use std::sync::OnceLock;

use rustix::process::{Uid, getuid};

/// Who ran this before it went on as somebody else.
static BEFORE: OnceLock<Uid> = OnceLock::new();

/// Goes on naming the user of now, also when the process becomes another one.
pub fn remember() {
    BEFORE.get_or_init(getuid);
}

/// How the audit log names who runs a command: the user that the system knows, not what the environment says.
pub fn of_this_process() -> String {
    let user = BEFORE.get().copied().unwrap_or_else(getuid);
    match user.is_root() {
        true => "root on the server".to_owned(),
        false => format!("user {} on the server", user.as_raw()),
    }
}
