use elivepatch_model::Whom;
use elivepatch_store::StoreError;

/// What to do about an error of the store about hosts; `None` of any other.
pub(in crate::app) fn hint(error: &StoreError) -> Option<String> {
    Some(match error {
        StoreError::NoSuchHost(_) => {
            "elivepatch-server host list shows the hosts; elivepatch enrol, on the machine, registers one"
                .to_owned()
        }
        StoreError::HostTaken(name) => {
            format!(
                "take another name; a machine that was set up anew takes its place with a token of \
                 elivepatch-server token create --role host --host {name}"
            )
        }
        StoreError::OtherHost { host } => {
            format!("elivepatch enrol --name {host}, or have a token made for this one")
        }
        StoreError::NoLivepatch { number, state } if state.is_finished() => {
            format!("elivepatch show {number} says why; assign a build that succeeded")
        }
        StoreError::NoLivepatch { number, .. } => {
            format!("wait until it is finished: elivepatch show {number}")
        }
        StoreError::OnlyProbe(_) => {
            "assign the build that the CVE run names as its livepatch: elivepatch builds".to_owned()
        }
        StoreError::Withdrawn { withdrawn, .. } => {
            format!("elivepatch-server host allow {withdrawn} lets hosts run it again")
        }
        StoreError::NotWithdrawn(_) => "elivepatch-server host withdrawals shows which are".to_owned(),
        StoreError::NoSuchAssignment(_) => {
            "elivepatch-server host assignments shows those that there are".to_owned()
        }
        StoreError::NotHeld(Whom::Host(name)) => {
            format!("elivepatch-server host show {name} says what else holds it")
        }
        StoreError::NotHeld(_) => "elivepatch-server host holds shows what is held".to_owned(),
        _ => return None,
    })
}
