//! What a fetch from Debian's archive that failed is told as: apt's and curl's own words stay in the
//! details, and what they mean and what to do about it is said first.

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};

use crate::{
    failures::io_failure,
    process::{Ended, Finished},
};

/// A fault, and what it is told as.
pub(crate) struct Fault {
    /// What apt (with gpg's words or sqv's) or curl print, one of these.
    said: &'static [&'static str],
    /// What that means.
    pub(crate) meaning: &'static str,
    /// What to do.
    pub(crate) hint: &'static str,
}

/// All that are known, the one that explains others before them: of an index with a wrong signature apt
/// says in the end that it is not signed.
const FAULTS: [Fault; 11] = [
    Fault {
        said: &["is expired (invalid since"],
        meaning: "its index has expired",
        hint: "the mirror is not kept up to date any more (then name another one in the server's \
               config), or this machine's clock is ahead (see `date`); for a snapshot, which never \
               changes, say `valid_until = false` in its [[source]]",
    },
    Fault {
        said: &["is not valid yet"],
        meaning: "its index is from the future",
        hint: "this machine's clock is behind: look at `date` and set it",
    },
    Fault {
        said: &["EXPKEYSIG", "Expired on"],
        meaning: "the key that its index is signed with has expired",
        hint: "take the keyring that has it renewed: apt-get install --only-upgrade \
               debian-archive-keyring, or `keyring` in the [[source]]; an archive that nobody signs any \
               more is not used",
    },
    Fault {
        said: &["NO_PUBKEY", "Missing key"],
        meaning: "its index is not signed by a key of the keyring",
        hint: "is it the mirror that you mean? For a newer Debian: apt-get install --only-upgrade \
               debian-archive-keyring; for an archive of your own name its keyring in the [[source]]",
    },
    Fault {
        said: &[
            "BADSIG",
            "is not signed",
            "Clearsigned file isn't valid",
            "signatures were invalid",
        ],
        meaning: "the signature of its index is wrong or missing",
        hint: "a page to log in at, a faulty mirror or somebody on the way changed it: look at the address \
               of the mirror in a browser, or name another one in the server's config",
    },
    Fault {
        said: &["Hash Sum mismatch", "unexpected size"],
        meaning: "its index files are not what its signed Release file says",
        hint: "the mirror is being updated, or a proxy on the way sends old files: submit the build again \
               in some minutes, or name another mirror in the server's config",
    },
    Fault {
        said: &[
            "not supported or disabled",
            "edirection loop",
            "Maximum (5) redirects",
            // The same, where the last connection broke off, too.
            "curl: (47)",
            "Unable to find expected entry",
            "edirection from",
            "not allowed",
        ],
        meaning: "the mirror leads elsewhere, where nothing is fetched from",
        hint: "only http and https are followed, five times: name another mirror in the server's config",
    },
    Fault {
        said: &["does not have a Release file"],
        meaning: "the mirror has none of the suites",
        hint: "correct the mirror or the suites in the server's config; a mirror that has moved is to be \
               named by its new address",
    },
    Fault {
        said: &["timed out", "Operation too slow"],
        meaning: "the mirror hangs, or is too slow",
        hint: "submit the build again, which goes on with what was fetched, or name another mirror in the \
               server's config",
    },
    Fault {
        said: &["error: 404", "404  Not Found"],
        meaning: "the mirror does not have it",
        hint: "it may have just left the archive: submit the build again in ten minutes, when the index is \
               fetched anew; for kernels that have left, name a snapshot or kept packages in a [[source]]",
    },
    Fault {
        said: &[
            "onnection refused",
            "Failed to connect",
            "ould not connect",
            "Unable to connect",
            "ould not resolve",
            "failure resolving",
        ],
        meaning: "the mirror does not answer",
        hint: "check the network, the machine's proxy and the mirror in the server's config, then submit \
               the build again: what was fetched is kept",
    },
];

/// The fault that apt or curl told of in this output.
pub(crate) fn fault_in(output: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.said.iter().any(|words| output.contains(words)))
}

/// A fetch that failed.
pub(super) fn fetch_failure(what: &str, finished: &Finished) -> Failure {
    let text = finished.text();
    let full = text.contains("No space left on device")
        || text.contains("Failure writing output")
        || text.contains("don't have enough free space");
    if full {
        return Failure::new(
            FailureClass::DiskFull,
            format!("{what} from Debian's archive"),
            "free space on the disk of the server's cache directory, then submit the build again: what \
             was fetched is kept",
        )
        .with_details(finished.last_lines(8));
    }
    let (meaning, hint) = match (&finished.ended, fault_in(&text)) {
        (Ended::LimitExceeded(reason), _) => {
            (format!(": the mirror is too slow: it {reason}"), SLOW_HINT)
        }
        (_, Some(fault)) => (format!(": {}", fault.meaning), fault.hint),
        (_, None) => (String::new(), OTHER_HINT),
    };
    Failure::new(FailureClass::FetchFailed, format!("{what} from Debian's archive{meaning}"), hint)
        .with_details(finished.last_lines(8))
}

const SLOW_HINT: &str = "submit the build again, which goes on with the packages that were fetched in \
                         part, or name another mirror in the server's config";

const OTHER_HINT: &str = "check the network and the mirror in the server's config, then submit the build \
                          again: what was fetched is kept";

pub(super) fn apt_io(action: &str, path: &Utf8Path, error: &std::io::Error) -> Failure {
    io_failure(FailureClass::FetchFailed, action, path, error)
}

/// The keyring is not there, or this user may not read it: apt would say that the key is not known.
pub(super) fn check_keyring(keyring: &Utf8Path) -> Result<(), Failure> {
    let Err(error) = std::fs::File::open(keyring) else { return Ok(()) };
    Err(Failure::new(
        FailureClass::FetchFailed,
        format!(
            "cannot read the keyring {keyring} that Debian's archive must be signed by: {error}"
        ),
        "apt-get install debian-archive-keyring; or correct `keyring` in the [[source]] of the server's \
         config, and let the server's user read the file",
    ))
}

/// No program can be started.
pub(super) fn not_installed(error: &std::io::Error) -> Failure {
    Failure::new(
        FailureClass::FetchFailed,
        format!("cannot run apt or curl: {error}"),
        "apt-get install apt curl util-linux: they fetch and verify the kernel's packages",
    )
}

/// A program is not there.
pub(super) fn program_missing(program: &str) -> Failure {
    Failure::new(
        FailureClass::FetchFailed,
        format!("cannot run {program}: it is not installed"),
        "apt-get install apt curl: they fetch and verify the kernel's packages",
    )
}
