//! The pages of what is ordered from a server, and of what is looked at before.

use elivepatch_manual::Page;

use super::{CONFIG, ENROLMENT, GENTOO_PATCHES, OUTPUT, STATE};

const BUILD: Page = Page {
    command: "build",
    description: "Sends the patches, the config of the kernel and what is known of it to the server, shows how the \
        build gets on, and stores the livepatch. Equal requests share one build: who asks for what was built already \
        has it at once.\n\nOn a machine with a livepatch of elivepatch's that is live, its fixes are sent along, for a \
        livepatch replaces the one before it. --drop and --alone leave them out.\n\nCtrl-C ends the program and not \
        the build; --follow goes on with it.",
    files: &[OUTPUT, CONFIG, GENTOO_PATCHES, ENROLMENT],
    examples: &[
        (
            "elivepatch build --patch fix.patch --url build.example.org:8420",
            "A livepatch for the running kernel, stored in the current directory.",
        ),
        (
            "elivepatch build --patch fix.patch --kernel 6.1.0-50-cloud-amd64 --config config",
            "A livepatch for another machine, by its release and config; the server is that of ELIVEPATCH_URL.",
        ),
        (
            "elivepatch build --patch fix.patch --facts web1.facts.json",
            "The same, by what elivepatch facts saved there: better, for the server then knows the very kernel.",
        ),
        ("elivepatch build --patch fix.patch --apply", "As root: build it, and load it."),
    ],
    see_also: &[
        "elivepatch-check(1)",
        "elivepatch-apply(1)",
        "elivepatch-facts(1)",
        "elivepatch-drop(1)",
    ],
};

const CHECK: Page = Page {
    command: "check",
    description: "Reads the patches and says which functions they touch, and what stands in the way of a livepatch: \
        changed data, code that runs only at boot, changed structures and the like, each with what to do about it. \
        Without the kernel's source it knows only what the patches themselves show. No server is asked.",
    files: &[],
    examples: &[
        ("elivepatch check fix.patch", "Judge a patch by what it shows."),
        (
            "elivepatch check --source linux-6.1.176 --config config fix.patch",
            "Judge whole functions, and whether the kernel has them at all.",
        ),
    ],
    see_also: &["elivepatch-build(1)"],
};

const CVE: Page = Page {
    command: "cve",
    description: "The server finds out which CVEs of the kernel's CVE team matter on the kernel, takes their fixes, \
        tries each, and makes one livepatch of all that go together. Each CVE gets a verdict with its evidence.\n\n\
        --dry-run only says which CVEs matter.",
    files: &[
        OUTPUT,
        (
            "/var/lib/elivepatch/cve",
            "What root's last run said, for --changes-only and cron; of other users it is in \
             ~/.local/state/elivepatch/cve.",
        ),
        CONFIG,
        ENROLMENT,
    ],
    examples: &[
        ("elivepatch cve --dry-run", "Which CVEs matter on the running kernel, and why."),
        ("elivepatch cve --apply", "As root: fix all that can be fixed live, at once."),
        (
            "elivepatch cve --kernel 6.1.176 --verdict needs-reboot",
            "What stays open on a kernel until it is booted anew.",
        ),
        ("elivepatch cve --explain CVE-2026-63824", "All that is known of one CVE."),
        (
            "elivepatch cve --changes-only --apply --html /var/www/html/cves.html",
            "A line for cron: it says something only when something is new.",
        ),
    ],
    see_also: &["elivepatch-apply(1)", "elivepatch-status(1)", "elivepatch-server-feed(8)"],
};

const DROP: Page = Page {
    command: "drop",
    description: "Orders the livepatch that is live once more, without these fixes: to take one back and keep the \
        others.",
    files: &[OUTPUT, STATE, ENROLMENT],
    examples: &[
        (
            "elivepatch drop CVE-2026-63824 --apply",
            "As root: take the fix of a CVE out of what is live.",
        ),
        ("elivepatch drop fix.patch --output /root", "Build it, to be loaded later."),
    ],
    see_also: &["elivepatch-build(1)", "elivepatch-revert(1)", "elivepatch-show(1)"],
};

const BUILDS: Page = Page {
    command: "builds",
    description: "",
    files: &[ENROLMENT],
    examples: &[
        ("elivepatch builds", "The last twenty."),
        (
            "elivepatch builds --state failed --limit 5 --json",
            "The last five that failed, for a program.",
        ),
    ],
    see_also: &["elivepatch-show(1)", "elivepatch-build(1)", "elivepatch-cancel(1)"],
};

const REBUILD: Page = Page {
    command: "rebuild",
    description: "Has the server build once more what a manifest says, without looking at what was built before, and \
        compares the bytes. So it is seen whether the module is what its manifest tells.",
    files: &[OUTPUT, ENROLMENT],
    examples: &[
        (
            "elivepatch rebuild livepatch_fix_1a2b3c4d.ko.manifest.json",
            "Build it again on the server that built it.",
        ),
        (
            "elivepatch rebuild livepatch_fix_1a2b3c4d.ko.manifest.json fix.patch --config config --url other.example.org:8420",
            "Build it on another server, which has neither patch nor config.",
        ),
    ],
    see_also: &["elivepatch-build(1)", "elivepatch-show(1)"],
};

const SHOW: Page = Page {
    command: "show",
    description: "A livepatch can be given as a module's file, or by what elivepatch-list(1) calls it. Then no server \
        is asked.",
    files: &[STATE, ENROLMENT],
    examples: &[
        ("elivepatch show 42", "How the server's build 42 stands."),
        ("elivepatch show livepatch_fix_1a2b3c4d.ko", "What is in a module."),
    ],
    see_also: &["elivepatch-builds(1)", "elivepatch-list(1)"],
};

const CANCEL: Page = Page {
    command: "cancel",
    description: "",
    files: &[ENROLMENT],
    examples: &[("elivepatch cancel 42", "Nobody gets a livepatch from build 42 any more.")],
    see_also: &["elivepatch-builds(1)"],
};

/// All of them.
pub const PAGES: [Page; 8] = [BUILD, CHECK, CVE, DROP, BUILDS, REBUILD, SHOW, CANCEL];
