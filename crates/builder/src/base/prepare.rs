//! Preparing a base: the source is unpacked and configured while the target's vmlinux is read.

use std::{io, thread};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_elf::Vmlinux;
use elivepatch_model::{BuildEvent, Failure, FailureClass, KernelConfig, StepName};

use super::{
    BaseInput, COMPILE_FLAGS, KernelMake, ObjectRules, SourceIndex, UnitsOfParent,
    config_check::{check_config, check_normalised},
    facts::{
        BaseFacts, FACTS, FileDigests, MODULE_TABLE, PACKAGE_CONFIG, SOURCES, SYMBOL_TABLE, base_io,
    },
    image_files::take_image_files,
    module_facts::{LoadableModules, ModuleFacts},
    vmlinux_facts::{VmlinuxFacts, unreadable},
    workspace::{TREE, WORK},
};
use crate::{
    Observer,
    cache::StagingDirectory,
    debian::{
        Apt, HeldPackage, KernelPackages, for_each_file, rt_patches, unpack_package,
        unpack_source_tarball,
    },
    disk_need::DiskNeed,
    sandbox::{Sandbox, SandboxCommand},
    unit::Parent,
};

/// What a base takes while it is prepared, in bytes: 1.5 GB stay, and the source's tarball and
/// vmlinux with its debug information come and go (see the table in docs/operation.md).
const PREPARING_BYTES: u64 = 2_500_000_000;

struct Files {
    image: HeldPackage,
    config: HeldPackage,
    modules: HeldPackage,
    debug: HeldPackage,
    headers: HeldPackage,
    source: HeldPackage,
    patches: Option<HeldPackage>,
}

struct Preparation<'a> {
    input: &'a BaseInput<'a>,
    staging: Utf8PathBuf,
    files: Files,
    sandbox: &'a Sandbox,
    observer: &'a dyn Observer,
}

/// Prepares the base at `place`. The caller holds the lock of `place`.
pub(super) fn prepare(
    input: &BaseInput,
    packages: &KernelPackages,
    place: &Utf8Path,
    apt: &Apt,
    sandbox: &Sandbox,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    let files = Files {
        image: apt.hold(&packages.image, observer)?,
        config: apt.hold(packages.with_config(), observer)?,
        modules: apt.hold(packages.with_modules(), observer)?,
        debug: apt.hold(&packages.debug, observer)?,
        headers: apt.hold(&packages.headers, observer)?,
        source: apt.hold(&packages.source, observer)?,
        patches: packages.patches.as_ref().map(|part| apt.hold(part, observer)).transpose()?,
    };
    let need = DiskNeed {
        place: place.to_owned(),
        bytes: PREPARING_BYTES,
        what: format!("preparing the base of {}", input.release),
    };
    // After what an earlier attempt has left is gone.
    let staging = StagingDirectory::empty(place)?;
    need.fits(|| {
        let path = staging.path().to_owned();
        let preparation = Preparation { input, staging: path, files, sandbox, observer };
        let facts = preparation.make()?;
        let path = preparation.staging.join(FACTS);
        let text = serde_json::to_vec_pretty(&facts).expect("plain data has a JSON form");
        fs_err::write(&path, text).map_err(|error| base_io("write", &path, &error))
    })?;
    staging.publish(place)
}

impl Preparation<'_> {
    fn make(&self) -> Result<BaseFacts, Failure> {
        // The config first: a target that is not the stock kernel is refused before the long work.
        let Files { image, config, modules, .. } = &self.files;
        let vermagic = take_image_files(image, config, modules, self.input.release, &self.staging)?;
        let config = self.package_config()?;
        check_config(self.input.config, &config, self.input.release)?;

        let (tree, vmlinux) = thread::scope(|scope| {
            let vmlinux = scope.spawn(|| {
                let loadable = self.unpack_modules()?;
                self.read_vmlinux(&config, &loadable)
            });
            let tree = self.make_tree(&config);
            let vmlinux = vmlinux.join().expect("reading vmlinux reports errors, not panics");
            (tree, vmlinux)
        });
        tree?;
        let (vmlinux, units) = vmlinux?;
        self.write_sources(&units)?;
        let FileDigests { kernel_image, files } = FileDigests::of(&self.staging)?;
        Ok(BaseFacts {
            release: self.input.release.clone(),
            source: self.input.source.clone(),
            build_id: vmlinux.build_id,
            vermagic,
            struct_sizes: vmlinux.struct_sizes,
            kernel_image,
            files,
        })
    }

    fn package_config(&self) -> Result<KernelConfig, Failure> {
        read_config(&self.staging.join(PACKAGE_CONFIG))
    }

    /// Unpacks and configures the source, and makes what single files need to be compiled.
    fn make_tree(&self, config: &KernelConfig) -> Result<(), Failure> {
        let tree = self.staging.join("tree");
        let scratch = self.staging.join("scratch");
        self.sandbox.make_directory(&tree)?;
        self.sandbox.make_directory(&scratch)?;

        self.progress("unpacking the source", 1);
        let tarball = scratch.join("source.tar.xz");
        unpack_source_tarball(&self.files.source, &tarball)?;
        fs_err::copy(self.staging.join(PACKAGE_CONFIG), scratch.join("config"))
            .map_err(|error| base_io("copy", &scratch, &error))?;
        let symvers = self.headers_symvers(&scratch)?;
        // xz first: tar would not let it use several cores.
        self.run_in_tree([
            "tar",
            "--extract",
            "--use-compress-program=xz --threads=0",
            "--strip-components=1",
            "--no-same-owner",
            "--file=/scratch/source.tar.xz",
        ])?;
        self.apply_patches_of_the_flavour()?;
        self.run_in_tree(["cp", "/scratch/config", "/build/.config"])?;

        self.progress("configuring", 2);
        let make = KernelMake::new(self.input.toolchain, self.input.release, self.input.jobs)
            .objtool_for_kpatch(config);
        self.run_in_tree(make.words(["olddefconfig"]))?;
        check_normalised(config, &read_config(&tree.join(".config"))?)?;

        let crates = if config.is_yes("RUST") { ", and Rust crates" } else { "" };
        self.progress(&format!("making headers and tools{crates}"), 3);
        // With the flags of the builds: Kbuild makes some of this anew when the flags are others,
        // and each build would spend more than a second on it.
        let prepare =
            self.in_tree(make.words(["modules_prepare"])).environment("KCFLAGS", COMPILE_FLAGS);
        self.run_command(&prepare)?;
        self.run_in_tree(["cp", &symvers, "/build/Module.symvers"])?;
        fs_err::remove_dir_all(&scratch).map_err(|error| base_io("remove", &scratch, &error))
    }

    /// Applies what Debian patches for this flavour only, which its source has not.
    fn apply_patches_of_the_flavour(&self) -> Result<(), Failure> {
        let Some(part) = &self.files.patches else { return Ok(()) };
        let patches = rt_patches(part)?;
        if patches.is_empty() {
            return Ok(());
        }
        let line = format!("applying the {} patches of the flavour rt", patches.len());
        self.observer.event(BuildEvent::Log { step: StepName::Base, line });
        let directory = self.staging.join("patches");
        self.sandbox.make_directory(&directory)?;
        for (number, (_, text)) in patches.iter().enumerate() {
            let path = directory.join(format!("{number:04}.patch"));
            fs_err::write(&path, text).map_err(|error| base_io("write", &path, &error))?;
        }
        let script = "for patch in /patches/*.patch; do patch --strip=1 --fuzz=0 --forward --batch \
            --silent --no-backup-if-mismatch --input=\"$patch\" || exit 1; done";
        let command = self.in_tree(["sh", "-c", script]).read_only(&directory, "/patches");
        self.run_command(&command)?;
        fs_err::remove_dir_all(&directory).map_err(|error| base_io("remove", &directory, &error))
    }

    /// Puts the target's Module.symvers into `scratch`; gives its path in the sandbox.
    fn headers_symvers(&self, scratch: &Utf8Path) -> Result<String, Failure> {
        let wanted = |path: &str| path.ends_with("/Module.symvers");
        let written = unpack_package(&self.files.headers, scratch, 1, &wanted)?;
        let name = written[0].file_name().unwrap_or_default();
        Ok(format!("{WORK}/{name}"))
    }

    fn run_in_tree<S: Into<String>>(
        &self,
        program: impl IntoIterator<Item = S>,
    ) -> Result<(), Failure> {
        self.run_command(&self.in_tree(program))
    }

    fn in_tree<S: Into<String>>(&self, program: impl IntoIterator<Item = S>) -> SandboxCommand {
        SandboxCommand::new(&self.input.toolchain.path(), program)
            .writable(&self.staging.join("tree"), TREE)
            .writable(&self.staging.join("scratch"), WORK)
            .directory(TREE)
    }

    fn run_command(&self, command: &SandboxCommand) -> Result<(), Failure> {
        self.sandbox
            .run_checked(command, StepName::Base, self.observer, FailureClass::BaseFailed)
            .map(drop)
    }

    /// Takes the modules as they are loaded out of the package: trials load them.
    fn unpack_modules(&self) -> Result<LoadableModules, Failure> {
        let mut modules = LoadableModules::new(&self.staging)
            .map_err(|error| base_io("write to", &self.staging, &error))?;
        for_each_file(&self.files.modules, &mut |path, content| {
            modules.add_file(path, content)?;
            Ok(true)
        })?;
        Ok(modules)
    }

    /// Reads vmlinux out of the debug package, and from it what the engine needs; the 588 MB
    /// themselves are not kept.
    fn read_vmlinux(
        &self,
        config: &KernelConfig,
        loadable: &LoadableModules,
    ) -> Result<(VmlinuxFacts, Vec<UnitsOfParent>), Failure> {
        let directory = self.staging.join("debug");
        fs_err::create_dir(&directory).map_err(|error| base_io("make", &directory, &error))?;
        let mut units = Vec::new();
        let path = self.unpack_debug(&directory, config, &mut units, loadable)?;
        let vmlinux = Vmlinux::open(path.as_std_path()).map_err(unreadable)?;
        let facts = VmlinuxFacts::read(&vmlinux, config, self.input.release, &self.staging)?;
        units.push((Parent::Vmlinux, vmlinux.units_by_source().map_err(unreadable)?));
        drop(vmlinux);
        self.write_symbol_table(&directory, path.file_name().unwrap_or_default())?;
        fs_err::remove_dir_all(&directory)
            .map_err(|error| base_io("remove", &directory, &error))?;
        Ok((facts, units))
    }

    /// Notes which files hold whose code; where Kbuild has their objects, the Makefiles say.
    fn write_sources(&self, units: &[UnitsOfParent]) -> Result<(), Failure> {
        let rules = ObjectRules::read(&self.staging.join("tree"));
        let mut sources = SourceIndex::default();
        for of_parent in units {
            sources.add_parent(of_parent, &rules);
        }
        let list = self.staging.join(SOURCES);
        fs_err::write(&list, sources.to_text()).map_err(|error| base_io("write", &list, &error))
    }

    /// Takes vmlinux out of the debug package, and the facts of each module: its compiled files
    /// go to `units`. Gives the path of vmlinux.
    fn unpack_debug(
        &self,
        directory: &Utf8Path,
        config: &KernelConfig,
        units: &mut Vec<UnitsOfParent>,
        loadable: &LoadableModules,
    ) -> Result<Utf8PathBuf, Failure> {
        let release = self.input.release;
        let wanted = [
            format!("usr/lib/debug/boot/vmlinux-{release}"),
            // from 7.x on
            format!("usr/lib/debug/lib/modules/{release}/vmlinux"),
        ];
        let vmlinux = directory.join("vmlinux");
        let mut modules = ModuleFacts::new(&self.staging, config)
            .map_err(|error| base_io("write to", &self.staging, &error))?;
        for_each_file(&self.files.debug, &mut |path, content| {
            if wanted.iter().any(|wanted| path == wanted) {
                io::copy(content, &mut fs_err::File::create(&vmlinux)?)?;
            } else {
                modules.add_file(path, content, units)?;
            }
            Ok(true)
        })?;
        let path = self.staging.join(MODULE_TABLE);
        modules
            .into_table(loadable)
            .and_then(|table| fs_err::write(&path, table.to_text()))
            .map_err(|error| base_io("write", &path, &error))?;
        Ok(vmlinux)
    }

    /// create-diff-object reads the symbols of vmlinux as `readelf` prints them.
    fn write_symbol_table(&self, directory: &Utf8Path, vmlinux: &str) -> Result<(), Failure> {
        let output = directory.join("output");
        self.sandbox.make_directory(&output)?;
        let script = r#"readelf --symbols --wide "$1" > /scratch/symtab"#;
        let command = SandboxCommand::new(
            &self.input.toolchain.path(),
            ["sh", "-c", script, "sh", &format!("/debug/{vmlinux}")],
        )
        .read_only(directory, "/debug")
        .writable(&output, WORK);
        self.sandbox.run_checked(
            &command,
            StepName::Base,
            self.observer,
            FailureClass::BaseFailed,
        )?;
        let (from, to) = (output.join("symtab"), self.staging.join(SYMBOL_TABLE));
        fs_err::rename(&from, &to).map_err(|error| base_io("move", &from, &error))
    }

    fn progress(&self, what: &str, done: u64) {
        self.observer.event(BuildEvent::Progress {
            step: StepName::Base,
            what: what.to_owned(),
            done,
            total: 3,
            unit: "items".to_owned(),
        });
    }
}

fn read_config(path: &Utf8Path) -> Result<KernelConfig, Failure> {
    let text = fs_err::read(path).map_err(|error| base_io("read", path, &error))?;
    KernelConfig::parse(&text).map_err(|error| {
        Failure::new(
            FailureClass::BaseFailed,
            format!("{path}: {error}"),
            "the kernel's build made a config that is none: please report it",
        )
    })
}
