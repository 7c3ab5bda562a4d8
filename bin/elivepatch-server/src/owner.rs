//! Commands that root runs for a server of another user.

use std::{ffi::CString, os::unix::fs::MetadataExt as _};

use camino::Utf8Path;
use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgroups, setresgid, setresuid};

use crate::{actor, error::CommandError, report};

/// Whom a directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    user: Uid,
    group: Gid,
    /// His name, where the system knows one.
    name: Option<String>,
}

/// Goes on as the owner of `directory` for good, with the rights of all his groups, when root runs this and it belongs to
/// somebody else: what is made in it must be his, or his server could not read it any more; and what he has put there
/// must not act with root's rights. The audit log goes on naming root. A directory that is not there yet has no owner.
///
/// # Errors
/// When the rights cannot be given up.
pub fn become_owner_of(directory: &Utf8Path) -> Result<(), CommandError> {
    let Some(owner) = Owner::other_than_root(directory) else { return Ok(()) };
    report::say(&format!("going on as the user {}, to whom {directory} belongs", owner.shown()));
    actor::remember();
    owner.become_him().map_err(|error| {
        let what = format!("cannot go on as the user {}", owner.shown());
        CommandError::failed(anyhow::Error::new(error).context(what), owner.hint())
    })
}

/// Refuses to serve as root what belongs to somebody else: what root makes there he could not read any more.
///
/// # Errors
/// When it is so.
pub fn refuse_other_owner(directory: &Utf8Path) -> Result<(), CommandError> {
    let Some(owner) = Owner::other_than_root(directory) else { return Ok(()) };
    let error =
        anyhow::anyhow!("{directory} belongs to the user {}, and this is root", owner.shown());
    Err(CommandError::input(error, owner.hint()))
}

/// Whether root alone can change where a path leads: nothing on the way that is there belongs to somebody else.
pub fn is_roots_path(path: &Utf8Path) -> bool {
    let is_roots = |place: &Utf8Path| match std::fs::symlink_metadata(place) {
        Ok(metadata) => metadata.uid() == 0,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    path.ancestors().filter(|place| !place.as_str().is_empty()).all(is_roots)
}

/// Gives what root has just made to the owner of `directory`.
///
/// # Errors
/// When it cannot be given away.
pub fn give_to_owner_of(directory: &Utf8Path, made: &Utf8Path) -> Result<(), CommandError> {
    let Some(owner) = Owner::other_than_root(directory) else { return Ok(()) };
    std::os::unix::fs::lchown(made, Some(owner.user.as_raw()), Some(owner.group.as_raw())).map_err(
        |error| {
            let what = format!("cannot give {made} to the user {}", owner.shown());
            CommandError::failed(anyhow::Error::new(error).context(what), owner.hint())
        },
    )
}

impl Owner {
    fn other_than_root(directory: &Utf8Path) -> Option<Self> {
        if !geteuid().is_root() {
            return None;
        }
        // Whatever hinders this hinders the command itself, which says so.
        let metadata = std::fs::metadata(directory).ok()?;
        let user = Uid::from_raw(metadata.uid());
        // Where the system does not know him, his number is enough.
        let known = User::from_uid(user).ok().flatten();
        (!user.is_root()).then(|| Self {
            user,
            group: known.as_ref().map_or(Gid::from_raw(metadata.gid()), |known| known.gid),
            name: known.map(|known| known.name),
        })
    }

    fn shown(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.user.to_string())
    }

    fn hint(&self) -> String {
        let before = match &self.name {
            Some(name) => format!("runuser -u {name}"),
            None => {
                format!("setpriv --reuid {} --regid {} --clear-groups", self.user, self.group)
            }
        };
        format!("run it as that user: {before} -- elivepatch-server …")
    }

    /// All threads, real and saved ids as well: there is no way back to root.
    fn become_him(&self) -> nix::Result<()> {
        match self.name.as_deref().map(CString::new) {
            Some(Ok(name)) => initgroups(&name, self.group)?,
            _ => setgroups(&[self.group])?,
        }
        setresgid(self.group, self.group, self.group)?;
        setresuid(self.user, self.user, self.user)
    }
}
