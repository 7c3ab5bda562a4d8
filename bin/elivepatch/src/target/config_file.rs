use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use elivepatch_model::{ConfigError, FailureClass, KernelConfig, limits::CONFIG_BYTES};
use flate2::read::MultiGzDecoder;

use super::running::RunningKernel;
use crate::problem::Problem;

/// A kernel config that was read and checked.
#[derive(Debug)]
pub struct ConfigFile {
    /// Where it was.
    pub path: PathBuf,
    /// Its text, uncompressed: what is sent.
    pub text: Vec<u8>,
    /// What it says.
    pub config: KernelConfig,
}

/// Reads the config at `path`, plain or gzip.
pub fn read(path: &Path) -> Result<ConfigFile, Problem> {
    let text = read_text(path).map_err(|error| {
        Problem::input(format!("cannot read the config {}", path.display()))
            .caused_by(&error)
            .hint("give the config of the kernel to be patched: --config FILE")
    })?;
    let config = KernelConfig::parse(&text).map_err(|error| unusable(path, &error))?;
    config.architecture().map_err(|error| unusable(path, &error))?;
    Ok(ConfigFile { path: path.to_owned(), text, config })
}

/// Reads the config of the running kernel from the places where distributions leave it.
pub fn read_running(kernel: &RunningKernel) -> Result<ConfigFile, Problem> {
    let places = kernel.config_places();
    match places.iter().find(|place| place.exists()) {
        Some(place) => read(place),
        None => {
            let shown: Vec<String> =
                places.iter().map(|place| place.display().to_string()).collect();
            let message = "no config is given, and that of the running kernel was not found";
            Err(Problem::input(format!("{message} (looked for {})", shown.join(", ")))
                .hint("give it with --config FILE; plain text and gzip are read"))
        }
    }
}

fn unusable(path: &Path, error: &ConfigError) -> Problem {
    let (class, hint) = match error {
        ConfigError::Architecture(_) => {
            (FailureClass::ArchitectureUnsupported, "give the config of an x86_64 kernel")
        }
        _ => (
            FailureClass::ConfigUnreadable,
            "give a kernel's .config, /boot/config-RELEASE or /proc/config.gz",
        ),
    };
    Problem::input(format!("{} cannot be used as a kernel config ({class})", path.display()))
        .caused_by(error)
        .hint(hint)
}

/// Reads at most one byte more than a config may have, so that the check behind it can tell.
fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(CONFIG_BYTES + 1).read_to_end(&mut bytes)?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut text = Vec::new();
    MultiGzDecoder::new(&bytes[..]).take(CONFIG_BYTES + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    const CONFIG: &[u8] = b"CONFIG_X86_64=y\nCONFIG_MODULES=y\n";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn read_bytes(bytes: &[u8]) -> Result<ConfigFile, Problem> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config");
        fs::write(&path, bytes).expect("a file");
        read(&path)
    }

    #[test]
    fn plain_and_gzip_configs_read_the_same() {
        let plain = read_bytes(CONFIG).expect("a config");
        let packed = read_bytes(&gzip(CONFIG)).expect("a config");
        assert_eq!(plain.text, packed.text);
        assert_eq!(plain.config, packed.config);
    }

    #[test]
    fn gzip_that_unpacks_without_end_is_refused() {
        let bomb = gzip(&vec![b'#'; 64 * 1024 * 1024]);
        assert!((bomb.len() as u64) < CONFIG_BYTES);
        let problem = read_bytes(&bomb).expect_err("too large");
        assert!(format!("{problem:?}").contains("more than"), "{problem:?}");
    }

    #[test]
    fn what_is_no_config_is_refused_with_its_class() {
        for (bytes, part) in [
            (&b"hello\n"[..], "config-unreadable"),
            (&gzip(CONFIG)[..20], "cannot read the config"),
            (b"", "config-unreadable"),
            (b"CONFIG_ARM64=y\n", "architecture-unsupported"),
        ] {
            let problem = read_bytes(bytes).expect_err(part);
            assert!(format!("{problem:?}").contains(part), "{problem:?}");
        }
    }

    #[test]
    fn running_config_is_looked_for_in_both_places() {
        let root = tempfile::tempdir().expect("a directory");
        let kernel = RunningKernel::for_test(root.path(), "6.1.0-50-cloud-amd64");
        let problem = format!("{:?}", read_running(&kernel).expect_err("nothing there"));
        assert!(problem.contains("proc/config.gz"), "{problem}");
        assert!(problem.contains("boot/config-6.1.0-50-cloud-amd64"), "{problem}");

        fs::create_dir(root.path().join("boot")).expect("a directory");
        let place = root.path().join("boot/config-6.1.0-50-cloud-amd64");
        fs::write(&place, CONFIG).expect("a file");
        assert_eq!(read_running(&kernel).expect("a config").path, place);

        fs::create_dir(root.path().join("proc")).expect("a directory");
        let place = root.path().join("proc/config.gz");
        fs::write(&place, gzip(CONFIG)).expect("a file");
        assert_eq!(read_running(&kernel).expect("a config").path, place);
    }
}
