use elivepatch_model::BuildEvent;

/// Hears what happens in a build, and can stop it.
///
/// Calls come from several threads. An implementation must not block for long: tools wait for it.
pub trait Observer: Send + Sync {
    /// Something happened: a step began or ended, there is progress, a tool printed a line.
    fn event(&self, event: BuildEvent);

    /// Whether the build should stop as soon as it can. Asked several times a second.
    fn is_cancelled(&self) -> bool;
}

/// Hears nothing and never stops a build.
#[derive(Debug, Clone, Copy, Default)]
pub struct SilentObserver;

impl Observer for SilentObserver {
    fn event(&self, _event: BuildEvent) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}
