use elivepatch_model::KernelRelease;

/// The flags, beside the kernel's own, that original and patched code are compiled with: a section
/// for each function and variable is what makes them comparable one by one, and patches may include
/// kpatch's headers.
pub const COMPILE_FLAGS: &str = "-I/usr/share/kpatch/patch -ffunction-sections -fdata-sections";

/// How make is called in a kernel tree so that it does what the target's own build did.
#[derive(Debug, Clone)]
pub struct KernelMake {
    compiler: String,
    release: KernelRelease,
    jobs: u32,
}

impl KernelMake {
    /// `compiler` as the target's compiler text spells it: otherwise options of the config change.
    pub fn new(compiler: &str, release: &KernelRelease, jobs: u32) -> Self {
        Self { compiler: compiler.to_owned(), release: release.clone(), jobs }
    }

    /// Cores to use.
    pub fn jobs(&self) -> u32 {
        self.jobs
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
        words.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        words
    }
}
