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
///
/// And a third: with `--mnop` objtool makes NOPs of the calls of `__fentry__`, as it does where the
/// compiler keeps no list of them (`FTRACE_MCOUNT_USE_OBJTOOL`: clang). create-diff-object looks for
/// the NOP at the very beginning of a function's section, and refuses functions that have padding or
/// ENDBR64 before it. It gets the calls; [`KernelMake::wants_fentry_nops`] says
/// what becomes of them.
const OBJTOOL_FOR_KPATCH: [&str; 2] = [
    "delay-objtool=",
    "objtool-args=$(filter-out --ibt --link --mnop,$(objtool-args-y)) \
     $(if $(part-of-module),--module)",
];

/// How make is called in a kernel tree so that it does what the target's own build did.
#[derive(Debug, Clone)]
pub struct KernelMake {
    compiler: String,
    flags: Vec<String>,
    release: KernelRelease,
    jobs: u32,
    objtool_for_kpatch: bool,
    fentry_nops: bool,
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
        Self { compiler, flags, release, jobs, objtool_for_kpatch: false, fentry_nops: false }
    }

    /// For objects that kpatch's tools take apart: makes Kbuild run objtool on each of them where
    /// the config delays that, and without what these tools cannot take. A whole kernel must not be
    /// built so.
    #[must_use]
    pub fn objtool_for_kpatch(mut self, config: &KernelConfig) -> Self {
        let options = ["X86_KERNEL_IBT", "KLP_BUILD", "FTRACE_MCOUNT_USE_OBJTOOL"];
        self.objtool_for_kpatch = options.into_iter().any(|option| config.is_yes(option));
        self.fentry_nops = ["FTRACE_MCOUNT_USE_OBJTOOL", "HAVE_OBJTOOL_NOP_MCOUNT"]
            .into_iter()
            .all(|option| config.is_yes(option));
        self
    }

    /// Whether objtool runs on single objects otherwise than in the kernel's own build.
    pub fn runs_objtool_for_kpatch(&self) -> bool {
        self.objtool_for_kpatch
    }

    /// Whether the kernel takes for granted that functions begin with NOPs. Then ftrace does not make
    /// them of the calls in a module that is loaded (`ftrace_need_init_nop`, `CC_USING_NOP_MCOUNT`),
    /// and switches itself off when it is to trace a function and meets the call.
    pub fn wants_fentry_nops(&self) -> bool {
        self.fentry_nops
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
        if self.objtool_for_kpatch {
            words.extend(OBJTOOL_FOR_KPATCH.map(str::to_owned));
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
        KernelMake::with("gcc", &[], &release, 2).objtool_for_kpatch(&config).words(["fs/exec.o"])
    }

    #[test]
    fn compiler_and_other_tools_are_told_as_the_recipe_says() {
        let release = "6.12.117".parse().expect("a real release");
        let make = KernelMake::with("clang", &["LLVM=1".to_owned()], &release, 2);
        let expected = ["make", "-j2", "CC=clang", "KERNELRELEASE=6.12.117", "LLVM=1", "vmlinux"];
        assert_eq!(make.words(["vmlinux"]), expected);
    }

    #[test]
    fn objtool_runs_on_single_objects_without_what_kpatch_cannot_take() {
        let plain = words("CONFIG_OBJTOOL=y\n");
        assert!(!plain.iter().any(|word| word.contains("objtool")), "{plain:?}");
        for option in ["X86_KERNEL_IBT", "KLP_BUILD", "FTRACE_MCOUNT_USE_OBJTOOL"] {
            let words = words(&format!("CONFIG_{option}=y\n"));
            assert!(words.contains(&"delay-objtool=".to_owned()), "{words:?}");
            let options = words.iter().find(|word| word.starts_with("objtool-args="));
            let left_out = "$(filter-out --ibt --link --mnop,$(objtool-args-y)) $(if ";
            assert!(options.is_some_and(|options| options.contains(left_out)), "{words:?}");
            assert_eq!(words.last().map(String::as_str), Some("fs/exec.o"));
        }
    }

    #[test]
    fn nops_are_wanted_where_objtool_makes_them_for_the_kernel() {
        let wanted = |config: &str| {
            let config = KernelConfig::parse(config.as_bytes()).expect("a valid config");
            let release = "6.12.117".parse().expect("a real release");
            KernelMake::with("clang", &[], &release, 2)
                .objtool_for_kpatch(&config)
                .wants_fentry_nops()
        };
        let can = "CONFIG_HAVE_OBJTOOL_NOP_MCOUNT=y\n";
        assert!(wanted(&format!("{can}CONFIG_FTRACE_MCOUNT_USE_OBJTOOL=y\n")));
        // As with gcc, which keeps the list itself.
        assert!(!wanted(&format!("{can}CONFIG_FTRACE_MCOUNT_USE_CC=y\n")));
        assert!(!wanted("CONFIG_FTRACE_MCOUNT_USE_OBJTOOL=y\n"));
    }
}
