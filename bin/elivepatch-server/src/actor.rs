/// How the audit log names who runs a command: the user that the system knows, not what the environment says.
pub fn of_this_process() -> String {
    let user = rustix::process::getuid();
    match user.is_root() {
        true => "root on the server".to_owned(),
        false => format!("user {} on the server", user.as_raw()),
    }
}
