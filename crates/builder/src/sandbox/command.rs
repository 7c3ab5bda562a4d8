use camino::{Utf8Path, Utf8PathBuf};

/// A program to be run in a sandbox, and what it sees.
#[derive(Debug, Clone)]
pub struct SandboxCommand {
    pub(super) root: Utf8PathBuf,
    pub(super) program: Vec<String>,
    pub(super) directory: String,
    pub(super) environment: Vec<(String, String)>,
    pub(super) read_only: Vec<(Utf8PathBuf, String)>,
    pub(super) writable: Vec<(Utf8PathBuf, String)>,
    pub(super) devices: Vec<String>,
    pub(super) overlay: Option<Overlay>,
}

/// A writable layer over a directory that is only read. In the sandbox it is `/build`.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// The directory below; never changed.
    pub lower: Utf8PathBuf,
    /// Layers of other overlays over the same directory, which lie between it and the own layer;
    /// the first is the uppermost. They are not changed either.
    pub between: Vec<Utf8PathBuf>,
    /// Holds `upper`, which gets what is written, and `work`, overlayfs' own scratch; made by
    /// [`super::Sandbox::make_layer`].
    pub layer: Utf8PathBuf,
}

impl SandboxCommand {
    /// `program` with its arguments, with the `/usr` and `/etc` of `root`.
    pub fn new<S: Into<String>>(root: &Utf8Path, program: impl IntoIterator<Item = S>) -> Self {
        Self {
            root: root.to_owned(),
            program: program.into_iter().map(Into::into).collect(),
            directory: "/".to_owned(),
            environment: Vec::new(),
            read_only: Vec::new(),
            writable: Vec::new(),
            devices: Vec::new(),
            overlay: None,
        }
    }

    /// Starts it in this directory of the sandbox.
    #[must_use]
    pub fn directory(mut self, directory: &str) -> Self {
        self.directory = directory.to_owned();
        self
    }

    /// Sets an environment variable; the server's own are not passed on.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Shows a file or directory of the machine at `inside`, to be read.
    #[must_use]
    pub fn read_only(mut self, host: &Utf8Path, inside: &str) -> Self {
        self.read_only.push((host.to_owned(), inside.to_owned()));
        self
    }

    /// Shows a directory of the machine at `inside`, to be written.
    #[must_use]
    pub fn writable(mut self, host: &Utf8Path, inside: &str) -> Self {
        self.writable.push((host.to_owned(), inside.to_owned()));
        self
    }

    /// Shows a device of the machine, such as `/dev/kvm`.
    #[must_use]
    pub fn device(mut self, path: &str) -> Self {
        self.devices.push(path.to_owned());
        self
    }

    /// Mounts an overlay at `/build`.
    #[must_use]
    pub fn overlay(mut self, overlay: Overlay) -> Self {
        self.overlay = Some(overlay);
        self
    }

    /// The program's name without its directory.
    pub fn name(&self) -> &str {
        let program = self.program.first().map_or("", String::as_str);
        program.rsplit('/').next().unwrap_or(program)
    }

    pub(super) fn writable_directories(&self) -> Vec<Utf8PathBuf> {
        // All of the layer: a tool can reach it beside the overlay that it is for.
        let layer = self.overlay.iter().map(|overlay| overlay.layer.clone());
        self.writable.iter().map(|(host, _)| host.clone()).chain(layer).collect()
    }
}
