use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sends the log to standard error; `RUST_LOG` chooses what is in it, `info` by default, and with `debug` that.
pub fn start(debug: bool) {
    let level = if debug { "debug" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .finish();
    // It fails only when a subscriber is set already, and then that one serves.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
