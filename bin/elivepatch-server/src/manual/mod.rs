//! What the manual pages have beside the command line. Each command that is shown has a page here; a test sees to it.

mod hosts;
mod running;
mod stores;

use elivepatch_manual::{Entry, Manual, Page};

/// The server's manual: the program's page and those of its commands.
pub fn manual() -> Manual {
    let mut pages = vec![PROGRAM];
    pages.extend(running::PAGES);
    pages.extend(stores::PAGES);
    pages.extend(hosts::PAGES);
    Manual {
        section: "8",
        environment: &[
            ("RUST_LOG", "What is logged: error, warn, info (the default), debug or trace."),
            ("NO_COLOR", "The log is without colour, whatever it holds."),
        ],
        pages,
    }
}

const CONFIG: Entry = (
    "/etc/elivepatch/server.toml",
    "The config; of other users than root ~/.config/elivepatch/server.toml. Every key is explained in what \
     elivepatch-server init writes.",
);
const DATA: Entry = (
    "/var/lib/elivepatch-server",
    "Records, livepatches, keys, tokens' digests: the data_directory of the config as packages have it. Back this up.",
);
const CACHE: Entry = (
    "/var/cache/elivepatch-server",
    "Packages, toolchain roots and bases: the cache_directory of the config as packages have it. It can be made again.",
);

const PROGRAM: Page = Page {
    command: "",
    description: "The server takes source patches with the config of a kernel, and makes livepatches of them: in a \
        sandbox, with the compiler that built the kernel, compared with the kernel's own code, and tried in a virtual \
        machine. It tells hosts what to run, and says who is exposed to which CVE. Clients are elivepatch(1) and those \
        of the first elivepatch.\n\nCommands beside a running server work on its data and cache. They are for root, \
        and for the user that the server runs as.",
    files: &[CONFIG, DATA, CACHE],
    examples: &[
        ("elivepatch-server init", "Write a config, and make the directories."),
        ("elivepatch-server", "Serve."),
        (
            "elivepatch-server token create --role admin > admin.token",
            "A token for the first client.",
        ),
    ],
    see_also: &[
        "elivepatch-server-init(8)",
        "elivepatch-server-token(8)",
        "elivepatch-server-host(8)",
        "elivepatch-server-feed(8)",
        "elivepatch(1)",
    ],
};

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn each_command_that_is_shown_has_a_page_whose_examples_are_read() {
        assert_eq!(elivepatch_manual::problems(&Arguments::command(), &manual()), [""; 0]);
    }
}
