//! The pages of what sets a server up and keeps it in order.

use elivepatch_manual::{Entry, Page};

use super::{CACHE, CONFIG, DATA};

const ALL: Page = Page {
    command: "all",
    description: "",
    files: &[CONFIG, DATA, CACHE],
    examples: &[(
        "elivepatch-server all --listen 127.0.0.1:8421",
        "Listen on another port than the config says.",
    )],
    see_also: &["elivepatch-server-check-config(8)"],
};

const SERVE: Page = Page {
    command: "serve",
    description: "For a server whose builds are all done on other machines, by elivepatch-server worker. Otherwise it is \
        as without a command; also the cache is used, for what is asked about kernels.",
    files: &[CONFIG, DATA, CACHE],
    examples: &[("elivepatch-server serve", "Serve, and build nothing here.")],
    see_also: &["elivepatch-server-worker(8)", "elivepatch-server-all(8)"],
};

const WORKER: Page = Page {
    command: "worker",
    description: "Any number of machines may build for a server, each with a token of its own and a copy of the server's \
        config. They ask the server for work over HTTPS; nothing connects to them. A worker ends with 1 when the server \
        does not take it: when its token is not valid, or its version or sources of kernels are not the server's. \
        SIGTERM gives the builds under way back.",
    files: &[CONFIG, WORKER_DATA, CACHE],
    examples: &[
        ("elivepatch-server worker", "As the config's section [worker] says."),
        (
            "elivepatch-server worker --url https://patches.example.org:8420 --token-file worker.token",
            "For a server whose certificate the system trusts.",
        ),
    ],
    see_also: &["elivepatch-server-token(8)", "elivepatch-server-serve(8)"],
};

/// What the data directory is to a worker.
const WORKER_DATA: Entry = (
    "/var/lib/elivepatch-server",
    "A lock, and nothing that matters: the data_directory of the config as packages have it.",
);

const INIT: Page = Page {
    command: "init",
    description: "A config that is there already is left as it is, and so is what is in the directories.",
    files: &[CONFIG],
    examples: &[
        (
            "elivepatch-server init",
            "For this user: as root in /etc/elivepatch, else below the home.",
        ),
        (
            "elivepatch-server init --config /srv/elivepatch.toml --data-directory /srv/data",
            "A second server on this machine.",
        ),
    ],
    see_also: &["elivepatch-server-check-config(8)"],
};

const CHECK_CONFIG: Page = Page {
    command: "check-config",
    description: "",
    files: &[CONFIG],
    examples: &[("elivepatch-server check-config", "Before the server is started anew.")],
    see_also: &["elivepatch-server-init(8)"],
};

const AUDIT: Page = Page {
    command: "audit",
    description: "",
    files: &[DATA],
    examples: &[
        ("elivepatch-server audit --since 24h", "What happened since yesterday."),
        (
            "elivepatch-server audit --limit 1000 --json",
            "The last thousand entries, for a program.",
        ),
    ],
    see_also: &["elivepatch-server-token(8)"],
};

const CERTIFICATE: Page = Page {
    command: "certificate",
    description: "Clients compare it when they are given it with --server-certificate.",
    files: &[DATA],
    examples: &[("elivepatch-server certificate", "For elivepatch enrol on a host.")],
    see_also: &["elivepatch-enrol(1)"],
};

const GC: Page = Page {
    command: "gc",
    description: "The server does it by itself, too. What is in use or pinned stays.",
    files: &[CACHE],
    examples: &[("elivepatch-server gc --dry-run", "What would be removed.")],
    see_also: &["elivepatch-server-base(8)", "elivepatch-server-toolchain(8)"],
};

const MANIFEST_KEY: Page = Page {
    command: "manifest-key",
    description: "",
    files: &[DATA],
    examples: &[(
        "elivepatch-server manifest-key",
        "For clients: elivepatch build --manifest-key.",
    )],
    see_also: &["elivepatch-server-module-key(8)"],
};

const MODULE_KEY: Page = Page {
    command: "module-key",
    description: "A machine with Secure Boot loads modules only when it knows the key that they are signed with.",
    files: &[CONFIG],
    examples: &[(
        "elivepatch-server module-key --der livepatch.der",
        "For mokutil --import livepatch.der on the hosts.",
    )],
    see_also: &["elivepatch-server-manifest-key(8)"],
};

const KERNEL_CONFIG: Page = Page {
    command: "kernel-config",
    description: "",
    files: &[CACHE],
    examples: &[(
        "elivepatch-server kernel-config 6.1.0-50-cloud-amd64 > config",
        "To order a livepatch for a kernel that does not run here.",
    )],
    see_also: &["elivepatch-build(1)"],
};

const COMPLETIONS: Page = Page {
    command: "completions",
    description: "Packages bring the completions of all three shells with them.",
    files: &[],
    examples: &[(
        "elivepatch-server completions bash > ~/.local/share/bash-completion/completions/elivepatch-server",
        "Completions for this user's bash.",
    )],
    see_also: &[],
};

/// All of them.
pub const PAGES: [Page; 12] = [
    ALL,
    SERVE,
    WORKER,
    INIT,
    CHECK_CONFIG,
    AUDIT,
    CERTIFICATE,
    GC,
    MANIFEST_KEY,
    MODULE_KEY,
    KERNEL_CONFIG,
    COMPLETIONS,
];
