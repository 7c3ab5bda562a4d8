//! The one signed file in which the CVE feed and the texts of fixes are carried to a server without a network.
//!
//! The file is a tarball of two: `feed.tar.zst`, and its signature as minisign makes it. Inside are an index
//! with the digest of every other member, the records of the feed, its faults, and a patch for each commit.
//! Nothing of the inside is looked at before the signature is that of a key that is trusted, and no member is
//! written to the disk by its name. What the records and patches say is the caller's.

mod error;
mod index;
mod read;
mod verify;
mod write;

pub use elivepatch_signature::{KeyError, KeyId, PublicKey, SecretKey, generate_keys};
pub use error::BundleError;
pub use index::{FeedHeader, Index, Member};
pub use read::{Bundle, Content};
pub use write::{BundleWriter, Written};

/// The name of the signed tarball in the file.
const INNER: &str = "feed.tar.zst";

/// The name of its signature: that which the program minisign looks for.
const SIGNATURE: &str = "feed.tar.zst.minisig";

/// The largest signed tarball, in bytes: the feed of 2026 has 12 MB, the fixes of one of its branches 3 MB.
const INNER_BYTES: u64 = 2 << 30;

/// The largest index, in bytes: 150 for a member.
const INDEX_BYTES: u64 = 64 << 20;

/// What all members may have together, in bytes: the feed of 2026 has 80 MB, all fixes of it 0.4 GB.
const UNPACKED_BYTES: u64 = 8 << 30;

/// The most records: as of a feed that is read itself.
const MOST_RECORDS: u64 = 100_000;

/// The largest record, in bytes: its file has 4 MiB at most, and it is written otherwise here.
const RECORD_BYTES: u64 = 8 << 20;

/// The largest list of faults, in bytes.
const FAULTS_BYTES: u64 = 64 << 20;

/// The most fixes: the feed of 2026 names 70,000.
const MOST_FIXES: usize = 200_000;
