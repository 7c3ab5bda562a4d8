//! Reads `/proc/version`, the kernel's banner.

use elivepatch_model::limits::FACT_BYTES;

/// What built a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltBy {
    /// The compiler's version line: `CONFIG_CC_VERSION_TEXT`.
    pub compiler: String,
    /// The linker's.
    pub linker: Option<String>,
}

/// Finds compiler and linker in the banner of a kernel whose `uname -v` is `version`.
///
/// The banner is `Linux version RELEASE (USER@HOST) (COMPILER, LINKER) VERSION`
/// (init/version-timestamp.c, scripts/mkcompile_h). The compiler's name has parentheses and may have
/// commas in it; of the linker's only the last comma is taken for the one between them.
pub fn built_by(banner: &str, version: &str) -> Option<BuiltBy> {
    let rest = banner.trim_end().strip_prefix("Linux version ")?;
    let rest = rest.strip_suffix(version)?.trim_end().strip_suffix(')')?;
    let (_, who) = rest.split_once(" (")?;
    let (_, tools) = who.split_once(") (")?;
    let (compiler, linker) = match tools.rsplit_once(", ") {
        Some((compiler, linker)) => (compiler, Some(linker)),
        None => (tools, None),
    };
    let is_fact =
        |text: &&str| (1..=FACT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    let compiler = Some(compiler.trim()).filter(is_fact)?.to_owned();
    let linker = linker.map(str::trim).filter(is_fact).map(str::to_owned);
    Some(BuiltBy { compiler, linker })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(banner: &str, version: &str) -> Option<(String, Option<String>)> {
        built_by(banner, version).map(|found| (found.compiler, found.linker))
    }

    #[test]
    fn compiler_and_linker_of_real_banners_are_told_apart() {
        for (banner, version, compiler, linker) in [
            (
                "Linux version 6.1.0-50-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian \
                 12.2.0-14+deb12u1) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40) #1 SMP \
                 PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-11-02)\n",
                "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-11-02)",
                "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0",
                "GNU ld (GNU Binutils for Debian) 2.40",
            ),
            (
                "Linux version 6.12.30-gentoo (root@host) (x86_64-pc-linux-gnu-gcc (Gentoo 14.2.1 \
                 p8) 14.2.1 20250101, GNU ld (Gentoo 2.44 p1) 2.44.0) #2 SMP Tue",
                "#2 SMP Tue",
                "x86_64-pc-linux-gnu-gcc (Gentoo 14.2.1 p8) 14.2.1 20250101",
                "GNU ld (Gentoo 2.44 p1) 2.44.0",
            ),
            (
                "Linux version 6.6.1 (a@b) (Debian clang version 14.0.6, Debian LLD 14.0.6) #1 SMP",
                "#1 SMP",
                "Debian clang version 14.0.6",
                "Debian LLD 14.0.6",
            ),
        ] {
            let expected = (compiler.to_owned(), Some(linker.to_owned()));
            assert_eq!(parts(banner, version), Some(expected), "{banner}");
        }
    }

    #[test]
    fn banner_of_an_old_kernel_names_no_linker() {
        let banner = "Linux version 4.19.1 (a@b) (gcc version 8.3.0 (Debian 8.3.0-6)) #1 SMP";
        let compiler = "gcc version 8.3.0 (Debian 8.3.0-6)".to_owned();
        assert_eq!(parts(banner, "#1 SMP"), Some((compiler, None)));
    }

    #[test]
    fn what_is_no_banner_gives_nothing() {
        for banner in ["", "Linux version 6.1 #1 SMP", "Linux version 6.1 (a@b) () #1 SMP", "x"] {
            assert_eq!(parts(banner, "#1 SMP"), None, "{banner}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(banner in ".{0,200}", version in ".{0,20}") {
            let _ = built_by(&banner, &version);
            let _ = built_by(&format!("Linux version {banner}{version}"), &version);
        }
    }
}
