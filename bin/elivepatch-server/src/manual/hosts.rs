//! The pages of what is done with hosts and tokens.

use elivepatch_manual::Page;

use super::DATA;

const HOST: Page = Page {
    command: "host",
    description: "Hosts are machines that elivepatch enrol has registered. Their agents report how they are, and load what is assigned to them in their maintenance windows.",
    files: &[DATA],
    examples: &[
        ("elivepatch-server host list", "How all of them stand."),
        (
            "elivepatch-server host assign 42 --tag web",
            "Hosts with the tag web are to run what build 42 made.",
        ),
        ("elivepatch-server host exposure", "Who is open to which CVEs."),
    ],
    see_also: &["elivepatch-agent(1)", "elivepatch-server-token(8)"],
};

const HOST_LIST: Page = Page {
    command: "host list",
    description: "",
    files: &[DATA],
    examples: &[
        ("elivepatch-server host list --silent", "Those that have not reported for long."),
        ("elivepatch-server host list --state trouble --json", "Those in trouble, for a program."),
    ],
    see_also: &[],
};

const HOST_SHOW: Page = Page {
    command: "host show",
    description: "",
    files: &[DATA],
    examples: &[("elivepatch-server host show web1", "All that is known of a host.")],
    see_also: &[],
};

const HOST_FORGET: Page = Page {
    command: "host forget",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server host forget web1",
        "It is gone for good; its token is good for nothing.",
    )],
    see_also: &[],
};

const HOST_TAG: Page = Page {
    command: "host tag",
    description: "",
    files: &[DATA],
    examples: &[
        ("elivepatch-server host tag web1 web site:vienna", "Two more tags."),
        ("elivepatch-server host tag web1 web --remove", "One less."),
    ],
    see_also: &[],
};

const HOST_ASSIGN: Page = Page {
    command: "host assign",
    description: "",
    files: &[DATA],
    examples: &[
        ("elivepatch-server host assign 42 --host web1", "Try it on one host."),
        ("elivepatch-server host assign 42 --all --note CVE-2026-63824", "Then on all."),
    ],
    see_also: &["elivepatch-server-host-unassign(8)"],
};

const HOST_ASSIGNMENTS: Page = Page {
    command: "host assignments",
    description: "",
    files: &[DATA],
    examples: &[("elivepatch-server host assignments", "With their ids.")],
    see_also: &[],
};

const HOST_UNASSIGN: Page = Page {
    command: "host unassign",
    description: "",
    files: &[DATA],
    examples: &[("elivepatch-server host unassign 7", "By the id that host assignments shows.")],
    see_also: &["elivepatch-server-host-withdraw(8)"],
};

const HOST_HOLD: Page = Page {
    command: "host hold",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server host hold --tag web --reason release",
        "Nothing changes on these.",
    )],
    see_also: &["elivepatch-server-host-release(8)"],
};

const HOST_RELEASE: Page = Page {
    command: "host release",
    description: "",
    files: &[DATA],
    examples: &[("elivepatch-server host release --tag web", "They go on.")],
    see_also: &["elivepatch-server-host-hold(8)"],
};

const HOST_HOLDS: Page = Page {
    command: "host holds",
    description: "",
    files: &[DATA],
    examples: &[("elivepatch-server host holds", "Who is held, and why.")],
    see_also: &[],
};

const HOST_WITHDRAW: Page = Page {
    command: "host withdraw",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server host withdraw 42 --reason regression",
        "Hosts take it back at their next report.",
    )],
    see_also: &["elivepatch-server-host-allow(8)"],
};

const HOST_ALLOW: Page = Page {
    command: "host allow",
    description: "",
    files: &[DATA],
    examples: &[("elivepatch-server host allow 42", "It may be loaded again.")],
    see_also: &["elivepatch-server-host-withdraw(8)"],
};

const HOST_WITHDRAWALS: Page = Page {
    command: "host withdrawals",
    description: "",
    files: &[DATA],
    examples: &[("elivepatch-server host withdrawals", "What was withdrawn, and why.")],
    see_also: &[],
};

const HOST_EXPOSURE: Page = Page {
    command: "host exposure",
    description: "",
    files: &[DATA],
    examples: &[
        ("elivepatch-server host exposure --cve CVE-2026-63824", "Which hosts are open to it."),
        ("elivepatch-server host exposure --host web1", "What a host is open to."),
    ],
    see_also: &["elivepatch-cve(1)"],
};

const TOKEN: Page = Page {
    command: "token",
    description: "",
    files: &[DATA],
    examples: &[
        (
            "elivepatch-server token create --role submit --name Ada --expires 90d",
            "Somebody may order livepatches for three months.",
        ),
        ("elivepatch-server token create --role host --tag web", "Register one host."),
    ],
    see_also: &["elivepatch-server-audit(8)", "elivepatch-enrol(1)"],
};

const TOKEN_CREATE: Page = Page {
    command: "token create",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server token create --role admin > admin.token",
        "The token goes to the standard output, all else to the standard error.",
    )],
    see_also: &["elivepatch-enrol(1)"],
};

const TOKEN_LIST: Page = Page {
    command: "token list",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server token list",
        "Roles, names and ids; never the tokens themselves.",
    )],
    see_also: &[],
};

const TOKEN_REVOKE: Page = Page {
    command: "token revoke",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server token revoke 5f1b0c9d2e3a",
        "By the id that token list shows.",
    )],
    see_also: &[],
};

/// All of them.
pub const PAGES: [Page; 19] = [
    HOST,
    HOST_LIST,
    HOST_SHOW,
    HOST_FORGET,
    HOST_TAG,
    HOST_ASSIGN,
    HOST_ASSIGNMENTS,
    HOST_UNASSIGN,
    HOST_HOLD,
    HOST_RELEASE,
    HOST_HOLDS,
    HOST_WITHDRAW,
    HOST_ALLOW,
    HOST_WITHDRAWALS,
    HOST_EXPOSURE,
    TOKEN,
    TOKEN_CREATE,
    TOKEN_LIST,
    TOKEN_REVOKE,
];
