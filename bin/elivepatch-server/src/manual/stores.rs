//! The pages of what is in the cache, of the CVE feed and of fixes.

use elivepatch_manual::Page;

use super::{CACHE, DATA};

const BASE: Page = Page {
    command: "base",
    description: "A base is a kernel's source as it was configured, with what is known of its image: what livepatches of that kernel are made on. Bases are large, and made again when they are gone.",
    files: &[CACHE],
    examples: &[
        (
            "elivepatch-server base warm 6.1.0-50-cloud-amd64",
            "Make a base before somebody waits for it.",
        ),
        ("elivepatch-server base list", "What there is, and how large it is."),
    ],
    see_also: &["elivepatch-server-gc(8)"],
};

const BASE_LIST: Page = Page {
    command: "base list",
    description: "",
    files: &[CACHE],
    examples: &[("elivepatch-server base list --json", "For a program.")],
    see_also: &[],
};

const BASE_WARM: Page = Page {
    command: "base warm",
    description: "",
    files: &[CACHE],
    examples: &[(
        "elivepatch-server base warm --facts web1.facts.json",
        "For the kernel of a machine, by what elivepatch facts saved there.",
    )],
    see_also: &["elivepatch-facts(1)"],
};

const BASE_PIN: Page = Page {
    command: "base pin",
    description: "",
    files: &[CACHE],
    examples: &[(
        "elivepatch-server base pin 6.1.0-50-cloud-amd64",
        "Keep it also when the disk is needed.",
    )],
    see_also: &["elivepatch-server-base-unpin(8)"],
};

const BASE_UNPIN: Page = Page {
    command: "base unpin",
    description: "",
    files: &[CACHE],
    examples: &[("elivepatch-server base unpin 6.1.0-50-cloud-amd64", "It may go.")],
    see_also: &["elivepatch-server-base-pin(8)"],
};

const BASE_REMOVE: Page = Page {
    command: "base remove",
    description: "",
    files: &[CACHE],
    examples: &[(
        "elivepatch-server base remove 6.1.0-50-cloud-amd64-0123456789ab",
        "Remove it; the whole name is needed.",
    )],
    see_also: &[],
};

const TOOLCHAIN: Page = Page {
    command: "toolchain",
    description: "A toolchain root is a small system with exactly the compiler that built a kernel. A recipe says how it is made.",
    files: &[CACHE],
    examples: &[
        (
            "elivepatch-server toolchain create debian-12-gcc-12",
            "Make a root before a build needs it.",
        ),
        ("elivepatch-server toolchain list", "All recipes, and what was made of them."),
    ],
    see_also: &["elivepatch-server-gc(8)"],
};

const TOOLCHAIN_LIST: Page = Page {
    command: "toolchain list",
    description: "",
    files: &[CACHE],
    examples: &[("elivepatch-server toolchain list", "Recipes and roots.")],
    see_also: &[],
};

const TOOLCHAIN_CREATE: Page = Page {
    command: "toolchain create",
    description: "",
    files: &[CACHE],
    examples: &[(
        "elivepatch-server toolchain create debian-12-gcc-12",
        "As the server's user or as root.",
    )],
    see_also: &[],
};

const TOOLCHAIN_VERIFY: Page = Page {
    command: "toolchain verify",
    description: "",
    files: &[CACHE],
    examples: &[(
        "elivepatch-server toolchain verify debian-12-gcc-12",
        "After trouble with a disk.",
    )],
    see_also: &[],
};

const TOOLCHAIN_REMOVE: Page = Page {
    command: "toolchain remove",
    description: "",
    files: &[CACHE],
    examples: &[(
        "elivepatch-server toolchain remove debian-12-gcc-12",
        "It is made anew when a build needs it.",
    )],
    see_also: &[],
};

const FEED: Page = Page {
    command: "feed",
    description: "The feed has the records of the kernel's CVE team: which versions of Linux have which CVE, and what fixes it.",
    files: &[DATA, CACHE],
    examples: &[
        ("elivepatch-server feed update", "Read what is new, now."),
        ("elivepatch-server feed status", "How old it is."),
    ],
    see_also: &["elivepatch-server-fix(8)", "elivepatch-cve(1)"],
};

const FEED_UPDATE: Page = Page {
    command: "feed update",
    description: "",
    files: &[DATA, CACHE],
    examples: &[("elivepatch-server feed update", "Read what is new, now.")],
    see_also: &[],
};

const FEED_STATUS: Page = Page {
    command: "feed status",
    description: "",
    files: &[DATA],
    examples: &[("elivepatch-server feed status --json", "For monitoring.")],
    see_also: &[],
};

const FEED_FAULTS: Page = Page {
    command: "feed faults",
    description: "",
    files: &[DATA],
    examples: &[("elivepatch-server feed faults", "Which records are passed over.")],
    see_also: &[],
};

const FEED_EXPORT: Page = Page {
    command: "feed export",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server feed export feed.elivepatch --key feed.key --fixes-for 6.1.176",
        "The feed with the fixes for one version of Linux.",
    )],
    see_also: &["elivepatch-server-feed-import(8)", "elivepatch-server-feed-keygen(8)"],
};

const FEED_IMPORT: Page = Page {
    command: "feed import",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server feed import feed.elivepatch --public-key feed.pub",
        "On the server without a network.",
    )],
    see_also: &["elivepatch-server-feed-export(8)"],
};

const FEED_KEYGEN: Page = Page {
    command: "feed keygen",
    description: "",
    files: &[],
    examples: &[(
        "elivepatch-server feed keygen --secret feed.key --public feed.pub",
        "Once, on the server that exports.",
    )],
    see_also: &["elivepatch-server-feed-export(8)"],
};

const FIX: Page = Page {
    command: "fix",
    description: "Most fixes are taken by themselves, from the branch of the kernel. Some CVEs are fixed in mainline only, or otherwise than a livepatch can do it: for these somebody gives a patch.",
    files: &[DATA],
    examples: &[(
        "elivepatch-server fix approve CVE-2026-63824 --patch fix.patch --note Ada",
        "This patch is the fix.",
    )],
    see_also: &["elivepatch-server-feed(8)", "elivepatch-cve(1)"],
};

const FIX_APPROVE: Page = Page {
    command: "fix approve",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server fix approve CVE-2026-63824 --patch fix.patch",
        "From the next run on it is built.",
    )],
    see_also: &["elivepatch-server-fix-withdraw(8)"],
};

const FIX_LIST: Page = Page {
    command: "fix list",
    description: "",
    files: &[DATA],
    examples: &[("elivepatch-server fix list", "All approvals, with their notes.")],
    see_also: &[],
};

const FIX_WITHDRAW: Page = Page {
    command: "fix withdraw",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server fix withdraw CVE-2026-63824",
        "The patch is not used any more.",
    )],
    see_also: &["elivepatch-server-fix-approve(8)"],
};

/// All of them.
pub const PAGES: [Page; 22] = [
    BASE,
    BASE_LIST,
    BASE_WARM,
    BASE_PIN,
    BASE_UNPIN,
    BASE_REMOVE,
    TOOLCHAIN,
    TOOLCHAIN_LIST,
    TOOLCHAIN_CREATE,
    TOOLCHAIN_VERIFY,
    TOOLCHAIN_REMOVE,
    FEED,
    FEED_UPDATE,
    FEED_STATUS,
    FEED_FAULTS,
    FEED_EXPORT,
    FEED_IMPORT,
    FEED_KEYGEN,
    FIX,
    FIX_APPROVE,
    FIX_LIST,
    FIX_WITHDRAW,
];
