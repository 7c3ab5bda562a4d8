//! [`Whom`] as the columns `to_kind` and `to_name`.

use elivepatch_model::{HostName, Tag, Whom};

use super::parse;
use crate::StoreError;

pub(super) fn kind(whom: &Whom) -> &'static str {
    match whom {
        Whom::Host(_) => "host",
        Whom::Tag(_) => "tag",
        Whom::All => "all",
    }
}

pub(super) fn name(whom: &Whom) -> &str {
    match whom {
        Whom::Host(name) => name.as_str(),
        Whom::Tag(tag) => tag.as_str(),
        Whom::All => "",
    }
}

pub(super) fn read(kind: &str, name: &str) -> Result<Whom, StoreError> {
    let what = format!("whom an assignment or hold is for ({kind} {name})");
    match kind {
        "host" => Ok(Whom::Host(parse::<HostName>(name, &what)?)),
        "tag" => Ok(Whom::Tag(parse::<Tag>(name, &what)?)),
        "all" => Ok(Whom::All),
        _ => Err(StoreError::Corrupt { what, source: None }),
    }
}

/// A condition on rows that are for the host `?1`: to itself, to a tag of it, or to all.
macro_rules! is_for_host {
    () => {
        "(to_kind = 'all' OR (to_kind = 'host' AND to_name = ?1) OR
          (to_kind = 'tag' AND to_name IN (SELECT tag FROM host_tags WHERE host = ?1)))"
    };
}
pub(super) use is_for_host;
