use std::{
    io::{self, Read as _},
    process::{Command, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{BaselinePatch, Builder};
use elivepatch_facts::{FACTS_BYTES, SavedFacts, SavedPatch};
use elivepatch_model::{Architecture, KernelRelease, TargetFacts, limits};
use elivepatch_server::config::Places;
use flate2::read::MultiGzDecoder;

use crate::{
    arguments::{Arguments, WarmArguments},
    commands::{Talker, enter_cache, failed, load_config},
    error::CommandError,
    report, runner,
};

/// Makes the base of a kernel ready in the cache, under the same locks as a build: one that needs
/// this base meanwhile waits for it, and any other goes on.
pub fn run(arguments: &Arguments, warm: &WarmArguments) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let Kernel { target, config_text, baseline } = match (&warm.facts, &warm.release) {
        (Some(path), _) => read_facts(path)?,
        (None, Some(release)) => named_kernel(release, warm)?,
        (None, None) => unreachable!("the command line has one of them"),
    };
    // What the command line names is read by now, also what only root may read.
    enter_cache(&config)?;
    give_way();
    let text = match config_text {
        Some(text) => text,
        None => runner::stock_config(&config, &target.release, &Talker).map_err(failed)?,
    };
    let scratch = tempfile::tempdir().map_err(CommandError::bug)?;
    let place = Utf8Path::from_path(scratch.path()).ok_or_else(|| {
        CommandError::bug(anyhow::anyhow!("the temporary directory is not UTF-8"))
    })?;
    let builder = Builder::open(runner::options(&config), place).map_err(failed)?;
    let base = builder.warm(&target, &text, &baseline, &Talker).map_err(failed)?;
    anstream::println!("{} is ready", base.name);
    if config.cache.disk_budget_gib.is_some() {
        let swept = builder.sweep().map_err(crate::commands::of_housekeeping)?;
        for entry in &swept.removed {
            let size = report::size(entry.bytes);
            anstream::eprintln!("removed {} {}: {size}, {}", entry.kind, entry.name, entry.reason);
        }
    }
    Ok(())
}

/// The kernel that a base is for.
struct Kernel {
    target: TargetFacts,
    /// `None`: that of the stock kernel's package.
    config_text: Option<Vec<u8>>,
    baseline: Vec<BaselinePatch>,
}

fn named_kernel(release: &KernelRelease, warm: &WarmArguments) -> Result<Kernel, CommandError> {
    let target = TargetFacts {
        kernel_version: warm.kernel_version.clone(),
        ..TargetFacts::new(release.clone(), Architecture::X86_64)
    };
    target.check_form().map_err(|error| CommandError::input(error.clone(), error.hint))?;
    let config_text = warm.kernel_config.as_deref().map(read_config).transpose()?;
    Ok(Kernel { target, config_text, baseline: read_baseline(&warm.baseline)? })
}

/// Reads what was saved on a machine with the kernel.
fn read_facts(path: &Utf8Path) -> Result<Kernel, CommandError> {
    let unreadable = |error: anyhow::Error, hint: &str| {
        CommandError::input(error.context(format!("cannot use the facts {path}")), hint)
    };
    let hint = "elivepatch facts --output FILE on the machine saves them";
    let text = read_limited(path, FACTS_BYTES).map_err(|error| unreadable(error.into(), hint))?;
    let saved = SavedFacts::parse(&text).map_err(|error| {
        let hint = error.hint().to_owned();
        unreadable(error.into(), &hint)
    })?;
    if saved.config.is_none() {
        return Err(unreadable(
            anyhow::anyhow!("they hold no config"),
            "collect them again on the machine, and name its config: elivepatch facts --config FILE \
             --output FILE",
        ));
    }
    let patches = saved.baseline.into_iter();
    let baseline =
        patches.map(|SavedPatch { name, content }| BaselinePatch { name, text: content });
    // Whether the machine runs that very image is for a build to find out.
    let target = TargetFacts { build_id: None, ..saved.target };
    Ok(Kernel { target, config_text: saved.config, baseline: baseline.collect() })
}

/// Reads a config, plain or gzip.
fn read_config(path: &Utf8Path) -> Result<Vec<u8>, CommandError> {
    let hint = "give the kernel's config: /proc/config.gz, or /boot/config-RELEASE";
    let read = || {
        let packed = read_limited(path, limits::CONFIG_BYTES)?;
        if !packed.starts_with(&[0x1f, 0x8b]) {
            return Ok(packed);
        }
        let mut text = Vec::new();
        MultiGzDecoder::new(&packed[..]).take(limits::CONFIG_BYTES + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    read().map_err(|error: io::Error| {
        let error = anyhow::Error::new(error).context(format!("cannot read the config {path}"));
        CommandError::input(error, hint)
    })
}

fn read_baseline(paths: &[Utf8PathBuf]) -> Result<Vec<BaselinePatch>, CommandError> {
    let hint = "give the patches that were applied when the kernel was built, each as a file";
    let too_much = |message: String| CommandError::input(anyhow::Error::msg(message), hint);
    if paths.len() > limits::BASELINE_PATCHES {
        return Err(too_much(format!("more than {} patches", limits::BASELINE_PATCHES)));
    }
    let read = |path: &Utf8PathBuf| {
        let text = read_limited(path, limits::BASELINE_PATCH_BYTES)
            .map_err(|error| CommandError::input(error, hint))?;
        if text.len() as u64 > limits::BASELINE_PATCH_BYTES {
            let limit = limits::BASELINE_PATCH_BYTES;
            return Err(too_much(format!("the patch {path} has more than {limit} bytes")));
        }
        Ok(BaselinePatch { name: path.file_name().unwrap_or(path.as_str()).to_owned(), text })
    };
    paths.iter().map(read).collect()
}

/// Reads at most one byte more than may be, so that a longer file is seen as that.
fn read_limited(path: &Utf8Path, limit_bytes: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs_err::File::open(path)?.take(limit_bytes + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Lets builds go first on processor and disk; all that is started here inherits it. Where it is
/// not allowed, the work is done all the same.
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        report::warn(&format!("the priority stays as it is: {error}"));
    }
    let mut ionice = Command::new("ionice");
    ionice.args(["--class", "idle", "--pid", &std::process::id().to_string()]);
    let _ = ionice.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn configs_are_read_plain_and_packed_and_patches_in_the_order_that_is_given() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let write = |name: &str, text: &[u8]| {
            fs_err::write(directory.join(name), text).expect("own file");
            directory.join(name)
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"CONFIG_X86_64=y\n").expect("memory");
        let packed = write("config.gz", &encoder.finish().expect("memory"));
        let plain = write("config", b"CONFIG_X86_64=y\n");
        assert_eq!(read_config(&packed).expect("read"), read_config(&plain).expect("read"));
        read_config(&write("cut", &[0x1f, 0x8b, 8])).expect_err("no gzip");

        let paths = ["b.patch", "a.patch"].map(|name| write(name, name.as_bytes()));
        let patches = read_baseline(&paths).expect("read");
        let names: Vec<&str> = patches.iter().map(|patch| patch.name.as_str()).collect();
        assert_eq!(names, ["b.patch", "a.patch"]);
        read_baseline(&[directory.join("none")]).expect_err("not there");
        let long = write("long", &vec![b'x'; limits::BASELINE_PATCH_BYTES as usize + 1]);
        read_baseline(&[long]).expect_err("too long");
    }

    #[test]
    fn saved_facts_name_the_kernel_its_config_and_its_patches() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = Utf8Path::from_path(temporary.path()).expect("UTF-8").join("host.facts.json");
        let patch = b"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n".to_vec();
        let saved = SavedFacts {
            target: TargetFacts {
                kernel_version: Some("#1 SMP".to_owned()),
                ..TargetFacts::new("6.12.30-gentoo".parse().expect("one"), Architecture::X86_64)
            },
            config: Some(b"CONFIG_X86_64=y\n".to_vec()),
            kallsyms: None,
            baseline: vec![SavedPatch { name: "a.patch".to_owned(), content: patch.clone() }],
            baseline_origin: String::new(),
            missing: Vec::new(),
            collected_by: "a test".to_owned(),
        };
        fs_err::write(&path, saved.write()).expect("own file");
        let kernel = read_facts(&path).expect("facts");
        assert_eq!(kernel.target, saved.target);
        assert_eq!(kernel.config_text, saved.config);
        assert_eq!(kernel.baseline, [BaselinePatch { name: "a.patch".to_owned(), text: patch }]);

        fs_err::write(&path, SavedFacts { config: None, ..saved }.write()).expect("own file");
        let error = read_facts(&path).err().expect("no config");
        assert!(error.hint.contains("--config FILE"), "{error:?}");
        fs_err::write(&path, "{").expect("own file");
        let error = read_facts(&path).err().expect("cut");
        assert!(format!("{:#}", error.error).contains("cannot use the facts"), "{error:?}");
    }
}
