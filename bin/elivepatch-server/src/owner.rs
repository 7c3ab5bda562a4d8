//! Commands that root runs for a server of another user.

use std::{io, os::unix::fs::MetadataExt as _};

use camino::Utf8Path;
use rustix::{
    fs::{Gid, Uid},
    process::geteuid,
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use crate::error::CommandError;

/// Goes on with the rights of the owner of `directory`, when root runs this and it belongs to somebody else: what is
/// made in it must be his, or his server could not read it any more. The real user stays root, whom the audit log
/// names. A directory that is not there yet has no owner.
///
/// The kernel keeps rights for each thread: this must come before the process has a second one.
///
/// # Errors
/// When the rights cannot be given up.
pub fn become_owner_of(directory: &Utf8Path) -> Result<(), CommandError> {
    let Some((user, group)) = other_owner(directory) else { return Ok(()) };
    let give_up = || -> io::Result<()> {
        set_thread_groups(&[group])?;
        set_thread_res_gid(None, group, None)?;
        set_thread_res_uid(None, user, None)?;
        Ok(())
    };
    give_up().map_err(|error| {
        let owner = user.as_raw();
        let what = format!("{directory} belongs to the user {owner}, and this cannot go on as him");
        CommandError::failed(anyhow::Error::new(error).context(what), hint(user))
    })
}

/// Refuses to serve as root what belongs to somebody else: what root makes there he could not read any more.
///
/// # Errors
/// When it is so.
pub fn refuse_other_owner(directory: &Utf8Path) -> Result<(), CommandError> {
    let Some((user, _)) = other_owner(directory) else { return Ok(()) };
    let owner = user.as_raw();
    let error = anyhow::anyhow!("{directory} belongs to the user {owner}, and this is root");
    Err(CommandError::input(error, hint(user)))
}

fn hint(user: Uid) -> String {
    format!(
        "run it as that user: setpriv --reuid {} --init-groups elivepatch-server …",
        user.as_raw()
    )
}

fn other_owner(directory: &Utf8Path) -> Option<(Uid, Gid)> {
    if !geteuid().is_root() {
        return None;
    }
    // Whatever hinders this hinders the command itself, which says so.
    let owner = std::fs::metadata(directory).ok()?;
    (owner.uid() != 0).then(|| (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid())))
}
