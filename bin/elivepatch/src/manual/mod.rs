//! What the manual pages have beside the command line. Each command that is shown has a page here; a test sees to it.

mod building;
mod here;

use elivepatch_manual::{Entry, Manual, Page};

/// The client's manual: the program's page and those of its commands.
pub fn manual() -> Manual {
    let mut pages = vec![PROGRAM, COMPLETIONS];
    pages.extend(building::PAGES);
    pages.extend(here::PAGES);
    Manual {
        section: "1",
        environment: &[
            (
                "ELIVEPATCH_TOKEN",
                "The token that the server wants, where --token-file is not given. A file is better: a variable is \
                 passed on to all that is started.",
            ),
            ("NO_COLOR", "Without colour, whatever it holds, unless --color says otherwise."),
            ("TERM", "With dumb, progress is told in lines."),
        ],
        pages,
    }
}

const STATE: Entry = (
    "/var/lib/elivepatch",
    "What is kept on this machine, for root only: livepatches with their manifests, which of them belongs to which \
     kernel, what is locked out, the history, and where the machine is registered. Another place: \
     ELIVEPATCH_STATE_DIRECTORY.",
);
const ENROLMENT: Entry = (
    "/var/lib/elivepatch/enrolment.json",
    "Where this machine is registered, with its token: what root gets without --url and --token-file.",
);
const AGENT_OPTIONS: Entry = (
    "/etc/elivepatch/agent.toml",
    "The agent's maintenance window and other options. Every key is explained in it.",
);
const CONFIG: Entry = (
    "/proc/config.gz, /boot/config-RELEASE, /lib/modules/RELEASE/config",
    "Where the config of the running kernel is looked for.",
);
const GENTOO_PATCHES: Entry = (
    "/etc/portage/patches/sys-kernel",
    "On Gentoo, the user patches that are compiled into the kernel.",
);
const OUTPUT: Entry = (
    "NAME.ko, NAME.ko.manifest.json",
    "What is stored: the module, and what it is for, what is in it, what it was built from and what its trial saw.",
);

const PROGRAM: Page = Page {
    command: "",
    description: "A livepatch is a module that changes the kernel while it runs. A server, elivepatch-server(8), makes \
        livepatches of source patches: it compiles them with the compiler that built the kernel, compares the result \
        with the kernel's own code, and tries it in a virtual machine. This program orders them, stores them, loads \
        them, and keeps them over reboots.\n\nWithout a command it builds, with the options of elivepatch-build(1): \
        that is the form that elivepatch has had from the start, as is --cve for elivepatch-cve(1).\n\nWhat is data \
        goes to the standard output, what is said to people to the standard error. An error says what went wrong, \
        after “caused by:” why, and after “hint:” what to do.",
    files: &[STATE, AGENT_OPTIONS, CONFIG, GENTOO_PATCHES],
    examples: &[
        ("elivepatch check fix.patch", "Whether a patch can be a livepatch; no server is asked."),
        (
            "elivepatch --patch fix.patch --url build.example.org:8420",
            "A livepatch for the running kernel, stored in the current directory.",
        ),
        ("elivepatch apply livepatch_fix_1a2b3c4d.ko", "As root: load it."),
        (
            "elivepatch cve --apply",
            "As root: fix all CVEs that matter on the running kernel and can be fixed live.",
        ),
        ("elivepatch status", "How this machine stands."),
    ],
    see_also: &[
        "elivepatch-build(1)",
        "elivepatch-check(1)",
        "elivepatch-cve(1)",
        "elivepatch-apply(1)",
        "elivepatch-status(1)",
        "elivepatch-agent(1)",
        "elivepatch-server(8)",
    ],
};

const COMPLETIONS: Page = Page {
    command: "completions",
    description: "Packages of elivepatch bring the completions of all three shells with them. By hand they go where \
        the shell looks for them.",
    files: &[
        (
            "/usr/share/bash-completion/completions/elivepatch",
            "Where bash looks, with bash-completion.",
        ),
        ("/usr/share/zsh/site-functions/_elivepatch", "Where zsh looks."),
        ("/usr/share/fish/vendor_completions.d/elivepatch.fish", "Where fish looks."),
    ],
    examples: &[
        (
            "elivepatch completions bash > ~/.local/share/bash-completion/completions/elivepatch",
            "Completions for this user's bash.",
        ),
        (
            "elivepatch completions fish > ~/.config/fish/completions/elivepatch.fish",
            "Completions for this user's fish.",
        ),
    ],
    see_also: &[],
};

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn each_command_that_is_shown_has_a_page_whose_examples_are_read() {
        assert_eq!(elivepatch_manual::problems(&Cli::command(), &manual()), [""; 0]);
    }
}
