use elivepatch_patch::{FilePatch, LineKind};

use super::Use;
use crate::base::SourceIndex;

/// A rule of a Makefile that generates code from a header.
struct Rule {
    /// The Makefile with the rule.
    makefile: &'static str,
    /// The header.
    header: &'static str,
    /// What is generated.
    output: &'static str,
    /// Files that are compiled where the output is used, as old and new kernels have them: without
    /// any, this kernel has no use for it.
    users: &'static [&'static str],
    /// What a line of the header holds when the generator reads it; a change of other lines gives the
    /// same output. Empty where the whole header counts.
    reads: &'static [&'static str],
}

const APPARMOR: &str = "security/apparmor/Makefile";
const SELINUX: &str = "security/selinux/Makefile";
const CPU: &str = "arch/x86/kernel/cpu/Makefile";
const SPEAKUP: &str = "drivers/accessibility/speakup/Makefile";
const SPEAKUP_KEYS: &str = "drivers/accessibility/speakup/speakupmap.h";
const SPEAKUP_USERS: &[&str] = &["drivers/accessibility/speakup/main.c"];
const CRC32: &[&str] = &["lib/crc32.c", "lib/crc/crc32-main.c"];

/// The rules of kernels from 6.1 to 7.3 for x86-64 that Kbuild keeps no record of (`$(call cmd,…)`),
/// or that run only when the whole kernel is built. What runs in `modules_prepare` and is recorded
/// is not here.
const RULES: [Rule; 15] = [
    // AppArmor's tables of names, by sed.
    Rule {
        makefile: APPARMOR,
        header: "include/uapi/linux/capability.h",
        output: "security/apparmor/capability_names.h",
        users: &["security/apparmor/capability.c"],
        reads: &["CAP_"],
    },
    Rule {
        makefile: APPARMOR,
        header: "include/uapi/asm-generic/resource.h",
        output: "security/apparmor/rlim_names.h",
        users: &["security/apparmor/resource.c"],
        reads: &["RLIM"],
    },
    Rule {
        makefile: APPARMOR,
        header: "include/linux/socket.h",
        output: "security/apparmor/net_names.h",
        users: &["security/apparmor/net.c"],
        reads: &["AF_", "SOCK_"],
    },
    Rule {
        makefile: APPARMOR,
        header: "include/linux/net.h",
        output: "security/apparmor/net_names.h",
        users: &["security/apparmor/net.c"],
        reads: &["SOCK_"],
    },
    // The names in /proc/cpuinfo, by mkcapflags.sh; and from 6.15 on the masks of features that the
    // config requires, by cpufeaturemasks.awk.
    Rule {
        makefile: CPU,
        header: "arch/x86/include/asm/cpufeatures.h",
        output: "arch/x86/kernel/cpu/capflags.c",
        users: &["arch/x86/kernel/cpu/common.c"],
        reads: &["X86_FEATURE_", "X86_BUG_", "NCAPINTS", "NBUGINTS"],
    },
    Rule {
        makefile: CPU,
        header: "arch/x86/include/asm/vmxfeatures.h",
        output: "arch/x86/kernel/cpu/capflags.c",
        users: &["arch/x86/kernel/cpu/common.c"],
        reads: &["VMX_FEATURE_", "NVMXINTS"],
    },
    // SELinux's numbers of classes, permissions and initial contexts, by the program genheaders. It
    // is compiled with the headers, and any line of them may count.
    Rule {
        makefile: SELINUX,
        header: "security/selinux/include/classmap.h",
        output: "security/selinux/flask.h",
        users: &["security/selinux/hooks.c"],
        reads: &[],
    },
    Rule {
        makefile: SELINUX,
        header: "security/selinux/include/initial_sid_to_string.h",
        output: "security/selinux/flask.h",
        users: &["security/selinux/hooks.c"],
        reads: &[],
    },
    // By build_OID_registry.
    Rule {
        makefile: "lib/Makefile",
        header: "include/linux/oid_registry.h",
        output: "lib/oid_registry_data.c",
        users: &["lib/oid_registry.c"],
        reads: &["OID_"],
    },
    // By sed.
    Rule {
        makefile: "drivers/scsi/Makefile",
        header: "include/scsi/scsi_devinfo.h",
        output: "drivers/scsi/scsi_devinfo_tbl.c",
        users: &["drivers/scsi/scsi_sysfs.c"],
        reads: &["BLIST_"],
    },
    // Speakup's keys, by the program makemapdata.
    Rule {
        makefile: SPEAKUP,
        header: "include/linux/input.h",
        output: SPEAKUP_KEYS,
        users: SPEAKUP_USERS,
        reads: &["KEY_"],
    },
    Rule {
        makefile: SPEAKUP,
        header: "include/uapi/linux/input-event-codes.h",
        output: SPEAKUP_KEYS,
        users: SPEAKUP_USERS,
        reads: &["KEY_"],
    },
    Rule {
        makefile: SPEAKUP,
        header: "drivers/accessibility/speakup/spk_priv_keyinfo.h",
        output: SPEAKUP_KEYS,
        users: SPEAKUP_USERS,
        reads: &["define"],
    },
    // By the program gen_crc32table.
    Rule {
        makefile: "lib/Makefile",
        header: "include/linux/crc32poly.h",
        output: "crc32table.h",
        users: CRC32,
        reads: &[],
    },
    Rule {
        makefile: "lib/Makefile",
        header: "lib/crc32defs.h",
        output: "lib/crc32table.h",
        users: CRC32,
        reads: &[],
    },
];

/// A use of one of these headers that the list knows, in a kernel of these sources.
pub(super) fn find(headers: &[&FilePatch], sources: &SourceIndex) -> Option<Use> {
    headers.iter().find_map(|file| {
        let is_of_kernel =
            |rule: &&Rule| rule.users.iter().any(|user| !sources.units_of(user).is_empty());
        let mut rules = RULES.iter().filter(|rule| rule.header == file.path.as_str());
        let rule = rules.find(|rule| is_of_kernel(rule) && changes_what_is_read(file, rule))?;
        Some(Use {
            header: rule.header.to_owned(),
            what: format!("{} is generated from it ({})", rule.output, rule.makefile),
        })
    })
}

fn changes_what_is_read(file: &FilePatch, rule: &Rule) -> bool {
    let holds = |content: &[u8]| {
        let text = String::from_utf8_lossy(content);
        rule.reads.is_empty() || rule.reads.iter().any(|part| text.contains(part))
    };
    let mut lines = file.hunks.iter().flat_map(|hunk| &hunk.lines);
    lines.any(|line| line.kind != LineKind::Context && holds(&line.content))
}

#[cfg(test)]
mod tests {
    use elivepatch_patch::SourcePatch;

    use super::*;
    use crate::unit::{Parent, Unit};

    fn found(header: &str, line: &str, units: &[&str]) -> Option<String> {
        let text =
            format!("--- a/{header}\n+++ b/{header}\n@@ -1 +1,2 @@\n #define SOCK_A 1\n+{line}\n");
        let patch = SourcePatch::parse(text.as_bytes()).expect("a patch");
        let plan = patch.plan().expect("it changes code");
        let mut sources = SourceIndex::default();
        for unit in units {
            let unit = Unit::beside(unit, Parent::Vmlinux);
            sources.add(unit.source.clone(), unit);
        }
        find(&plan.files.iter().collect::<Vec<_>>(), &sources).map(|found| found.what)
    }

    #[test]
    fn line_that_a_generator_reads_is_found_where_the_kernel_uses_the_output() {
        let (header, apparmor) = ("include/linux/socket.h", &["security/apparmor/net.c"][..]);
        let what =
            "security/apparmor/net_names.h is generated from it (security/apparmor/Makefile)";
        assert_eq!(found(header, "#define AF_NEW 46", apparmor).as_deref(), Some(what));
        // The context is what it was.
        assert_eq!(found(header, "int inline_function(void);", apparmor), None);
        assert_eq!(found(header, "#define AF_NEW 46", &["security/selinux/hooks.c"]), None);
        assert_eq!(found("include/linux/other.h", "#define AF_NEW 46", apparmor), None);
    }

    #[test]
    fn any_line_counts_where_the_generator_is_compiled_with_the_header() {
        let header = "security/selinux/include/classmap.h";
        assert!(found(header, "/* */", &["security/selinux/hooks.c"]).is_some());
        assert!(found("include/linux/crc32poly.h", "/* */", &["lib/crc/crc32-main.c"]).is_some());
        let cpu = found(
            "arch/x86/include/asm/cpufeatures.h",
            "#define X86_BUG_NEW X86_BUG(9)",
            &["arch/x86/kernel/cpu/common.c"],
        );
        assert!(cpu.is_some_and(|what| what.contains("capflags.c")));
    }
}
