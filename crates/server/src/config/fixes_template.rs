//! The part of the config's template on the texts of fixes.

/// Every key of a `[[fixes]]`, in examples of all kinds.
pub(super) const FIXES: &str = r##"# Where the texts of fixes for CVEs come from: as many sources as need be, each a [[fixes]] with a kind. They
# are asked in this order, for the commit in the target's own branch; the first that has it serves. What was
# had once is kept in the data directory and not asked for again. A text that says that it is another
# commit's, a merge, and what changes nothing are not taken. Without any source, only fixes that a person
# approved are built: elivepatch-server fix approve CVE --patch FILE

# A clone of linux-stable on this machine: the commit as git format-patch shows it. Only the objects of the
# clone are read; its settings, hooks and attributes do nothing, and nothing is fetched. Keep it up to date.
#[[fixes]]
#kind = "git"
#path = "/srv/linux-stable"

# A directory with a file COMMIT.patch for each commit, all 40 digits of it in the name. Links are not followed.
#[[fixes]]
#kind = "directory"
#path = "/srv/fixes"

# A web server; SHA stands for the commit. Only https, and http on this machine; it is not gone to where a
# server leads to another protocol. A short address of kernel.org, https://git.kernel.org/stable/c/SHA, does,
# too: the patch beside the page that it leads to is taken. A server that is too slow, busy or broken is asked
# four times, with longer and longer waits, and then left alone for some minutes.
#[[fixes]]
#kind = "http"
#url = "https://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git/patch/?id=SHA"
# How often it is asked in a second at most
#per_second = 2.0

# A livepatch-overlay: a directory with patches, and elivepatch.yml, which says for which CVEs and versions of
# Linux they are.
#[[fixes]]
#kind = "livepatch-overlay"
#path = "/srv/livepatch-overlay"
"##;
