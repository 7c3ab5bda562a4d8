//! The pages of what looks at and changes this machine.

use elivepatch_manual::Page;

use super::{AGENT_OPTIONS, CONFIG, ENROLMENT, GENTOO_PATCHES, STATE};

const APPLY: Page = Page {
    command: "apply",
    description: "Checks that the livepatch is for the very kernel that runs and that nothing stands against it, loads \
        it, and waits until every task uses it. Tasks that keep it waiting are named; when the transition does not \
        end in its time, it is reversed. For a quarter of an hour after that the kernel is watched: when it oopses or \
        warns in the patched code, the livepatch is taken back and locked out.\n\nWithout an argument the livepatch is \
        loaded that belongs to this kernel. Root's rights are needed.",
    files: &[STATE],
    examples: &[
        (
            "elivepatch apply livepatch_fix_1a2b3c4d.ko",
            "Load a module; its manifest lies beside it.",
        ),
        ("elivepatch apply 42", "Fetch what build 42 of the server made, and load it."),
        ("elivepatch apply --dry-run", "What would be done, and what stands against it."),
    ],
    see_also: &["elivepatch-status(1)", "elivepatch-revert(1)", "elivepatch-boot(1)"],
};

const STATUS: Page = Page {
    command: "status",
    description: "The exit codes are those that monitoring knows: well, warning, critical.",
    files: &[STATE],
    examples: &[
        ("elivepatch status", "How this machine stands, for people."),
        ("elivepatch status --json", "The same, for programs."),
    ],
    see_also: &["elivepatch-list(1)", "elivepatch-history(1)", "elivepatch-apply(1)"],
};

const LIST: Page = Page {
    command: "list",
    description: "The current livepatch of each kernel, and up to three before it.",
    files: &[STATE],
    examples: &[("elivepatch list", "Names, digests, kernels and fixes.")],
    see_also: &["elivepatch-show(1)", "elivepatch-revert(1)"],
};

const REVERT: Page = Page {
    command: "revert",
    description: "Tasks that still use the livepatch keep it waiting, and are named. Root's rights are needed.",
    files: &[STATE],
    examples: &[
        ("elivepatch revert", "Back to the kernel as it was booted."),
        ("elivepatch revert --to livepatch_fix_1a2b3c4d", "Back to an earlier livepatch."),
    ],
    see_also: &["elivepatch-list(1)", "elivepatch-drop(1)", "elivepatch-unlock(1)"],
};

const HISTORY: Page = Page {
    command: "history",
    description: "",
    files: &[STATE],
    examples: &[("elivepatch history", "What was loaded and taken back, and when.")],
    see_also: &["elivepatch-status(1)"],
};

const UNLOCK: Page = Page {
    command: "unlock",
    description: "A livepatch is locked out when the kernel oopsed or warned within a quarter of an hour after it was \
        loaded, or the machine came to its end in that time. elivepatch-status(1) says which one and why. Root's \
        rights are needed.",
    files: &[STATE],
    examples: &[("elivepatch unlock livepatch_fix_1a2b3c4d", "Let it be loaded again.")],
    see_also: &["elivepatch-status(1)", "elivepatch-revert(1)"],
};

const BOOT: Page = Page {
    command: "boot",
    description: "The units elivepatch-boot and elivepatch-shutdown run it. A livepatch that was being loaded when the \
        machine went down is not loaded again.",
    files: &[STATE],
    examples: &[
        ("elivepatch boot", "Early at boot: load what belongs to the kernel."),
        ("elivepatch boot --shutdown", "At the end: the machine goes down on purpose."),
    ],
    see_also: &["elivepatch-apply(1)", "elivepatch-agent(1)"],
};

const AGENT: Page = Page {
    command: "agent",
    description: "Reports to the server how the machine is, and loads, replaces and takes back what the server assigns \
        and withdraws: within the maintenance window, at a turn of the machine's own, after its health. Without the \
        server everything stays as it is. The unit elivepatch-agent runs it; it does nothing on a machine that is not \
        registered.",
    files: &[AGENT_OPTIONS, STATE, ENROLMENT],
    examples: &[
        ("elivepatch agent", "Go on until SIGTERM, as the unit does."),
        ("elivepatch agent --once", "One round, for cron."),
    ],
    see_also: &["elivepatch-enrol(1)", "elivepatch-status(1)", "elivepatch-server-host(8)"],
};

const ENROL: Page = Page {
    command: "enrol",
    description: "The token is one that elivepatch-server token create --role host has made; it is good for one \
        machine, once. The machine gets a token of its own in exchange, and the key that the server signs manifests \
        with: from then on only livepatches with such a signature are loaded.",
    files: &[ENROLMENT],
    examples: &[(
        "elivepatch enrol --url https://build.example.org:8420 --token-file -",
        "Register this machine; the token is typed or piped.",
    )],
    see_also: &["elivepatch-agent(1)", "elivepatch-server-token(8)"],
};

const FACTS: Page = Page {
    command: "facts",
    description: "The addresses of the kernel's symbols are not in it.",
    files: &[CONFIG, GENTOO_PATCHES],
    examples: &[
        ("elivepatch facts", "What is known, for people."),
        (
            "elivepatch facts --output web1.facts.json",
            "Save it, to order from another machine with --facts.",
        ),
    ],
    see_also: &["elivepatch-build(1)", "elivepatch-cve(1)"],
};

/// All of them.
pub const PAGES: [Page; 10] =
    [APPLY, STATUS, LIST, REVERT, HISTORY, UNLOCK, BOOT, AGENT, ENROL, FACTS];
