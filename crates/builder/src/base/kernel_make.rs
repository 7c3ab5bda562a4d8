use elivepatch_model::{KernelConfig, KernelRelease};

use crate::toolchain::ToolchainRoot;

/// The flags, beside the kernel's own, that original and patched code are compiled with: a section
/// for each function and variable is what makes them comparable one by one, and patches may include
/// kpatch's headers.
pub const COMPILE_FLAGS: &str = "-I/usr/share/kpatch/patch -ffunction-sections -fdata-sections";

/// Flags that have code read variables where it would hold runtime constants.
///
/// They are the definitions of `include/asm-generic/runtime-const.h`, which the kernel has for
/// architectures without such constants, and (of the first) for modules; the guard keeps out the
/// header of the architecture. Kernels before 6.11 have none of these names.
pub const READ_VARIABLES_FLAGS: &str = "-D_ASM_RUNTIME_CONST_H '-Druntime_const_ptr(sym)=(sym)' \
     '-Druntime_const_shift_right_32(val,sym)=((u32)(val)>>(sym))' \
     '-Druntime_const_mask_32(val,sym)=((u32)(val)&(sym))' \
     '-Druntime_const_init(type,sym)=do{}while(0)'";

/// Variables of the kernel's `scripts/Makefile.lib` (their names and forms are the same from 6.1 to
/// 7.3) that make Kbuild run objtool on every single object, where it would wait for vmlinux.o.
///
/// With IBT, and from 6.19 on with `KLP_BUILD`, objtool is delayed, and single objects lack what
/// create-diff-object and the kernel need: `.orc_unwind`, `.return_sites`, `.call_sites`,
/// `.static_call_sites`, the prefix symbols. The options stay those that Kbuild chooses for the
/// config, but for two: `--ibt` wants the whole kernel (it finds the functions whose address nobody
/// takes, to take their ENDBR away), and `--link` says that this is the whole kernel. The same goes
/// for the livepatch module: its own object, kpatch's hook, gets its run when it is compiled, and
/// there is none over the linked module, whose other part has had its own.
const OBJTOOL_ON_SINGLE_OBJECTS: [&str; 2] = [
    "delay-objtool=",
    "objtool-args=$(filter-out --ibt --link,$(objtool-args-y)) $(if $(part-of-module),--module)",
];

/// How make is called in a kernel tree so that it does what the target's own build did.
#[derive(Debug, Clone)]
pub struct KernelMake {
    compiler: String,
    flags: Vec<String>,
    release: KernelRelease,
    jobs: u32,
    objtool_on_single_objects: bool,
}

impl KernelMake {
    /// With the root's compiler and its other tools, as its recipe calls them.
    pub fn new(toolchain: &ToolchainRoot, release: &KernelRelease, jobs: u32) -> Self {
        Self::with(toolchain.compiler(), toolchain.make_flags(), release, jobs)
    }

    /// `compiler` as the target's compiler text spells it: otherwise options of the config change.
    pub(crate) fn with(
        compiler: &str,
        flags: &[String],
        release: &KernelRelease,
        jobs: u32,
    ) -> Self {
        let (compiler, flags, release) = (compiler.to_owned(), flags.to_vec(), release.clone());
        Self { compiler, flags, release, jobs, objtool_on_single_objects: false }
    }

    /// For objects that kpatch's tools take apart: makes Kbuild run objtool on each of them where
    /// the config delays that. A whole kernel must not be built so.
    #[must_use]
    pub fn objtool_on_single_objects(mut self, config: &KernelConfig) -> Self {
        self.objtool_on_single_objects =
            config.is_yes("X86_KERNEL_IBT") || config.is_yes("KLP_BUILD");
        self
    }

    /// Whether objtool runs on single objects where the kernel's own build does not run it.
    pub fn runs_objtool_on_single_objects(&self) -> bool {
        self.objtool_on_single_objects
    }

    /// Cores to use.
    pub fn jobs(&self) -> u32 {
        self.jobs
    }

    /// The compiler, spelled as the target's compiler text does.
    pub fn compiler(&self) -> &str {
        &self.compiler
    }

    /// The words of a make command with these targets and variables.
    pub fn words<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Vec<String> {
        let mut words = vec![
            "make".to_owned(),
            format!("-j{}", self.jobs),
            format!("CC={}", self.compiler),
            // Without it the vermagic is made from the source's version, which Debian's releases
            // do not follow.
            format!("KERNELRELEASE={}", self.release),
        ];
        words.extend(self.flags.iter().cloned());
        if self.objtool_on_single_objects {
            words.extend(OBJTOOL_ON_SINGLE_OBJECTS.map(str::to_owned));
        }
        words.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(config: &str) -> Vec<String> {
        let config = KernelConfig::parse(config.as_bytes()).expect("a valid config");
        let release = "6.12.117+deb13-cloud-amd64".parse().expect("a real release");
        KernelMake::with("gcc", &[], &release, 2)
            .objtool_on_single_objects(&config)
            .words(["fs/exec.o"])
    }

    #[test]
    fn compiler_and_other_tools_are_told_as_the_recipe_says() {
        let release = "6.12.117".parse().expect("a real release");
        let make = KernelMake::with("clang", &["LLVM=1".to_owned()], &release, 2);
        let expected = ["make", "-j2", "CC=clang", "KERNELRELEASE=6.12.117", "LLVM=1", "vmlinux"];
        assert_eq!(make.words(["vmlinux"]), expected);
    }

    #[test]
    fn objtool_is_not_delayed_for_configs_that_delay_it() {
        let plain = words("CONFIG_OBJTOOL=y\n");
        assert!(!plain.iter().any(|word| word.contains("objtool")), "{plain:?}");
        for config in ["CONFIG_X86_KERNEL_IBT=y\n", "CONFIG_KLP_BUILD=y\n"] {
            let words = words(config);
            assert!(words.contains(&"delay-objtool=".to_owned()), "{words:?}");
            assert_eq!(words.last().map(String::as_str), Some("fs/exec.o"));
        }
    }
}
