use elivepatch_api::{HostFault, HostHealth, HostLivepatch, HostReport, HostState};
use elivepatch_host::{AgentRecord, Status};
use elivepatch_model::TargetFacts;

/// What is told of a machine: how it stands, what the agent waits for, and what could not be done.
pub fn report(
    status: &Status,
    record: &AgentRecord,
    refused: Option<&HostFault>,
    target: TargetFacts,
    boot_id: String,
    uptime_seconds: u64,
) -> HostReport {
    let is_well = status.health.as_ref().is_none_or(elivepatch_host::Health::is_well);
    let is_active = status.is_active();
    let livepatch = status.current.as_ref().map(|(digest, held)| HostLivepatch {
        name: held.as_ref().map_or_else(String::new, |held| held.module.name.clone()),
        digest: *digest,
        active: is_active,
        since: status.since,
        health: match (is_well && is_active, status.is_proven) {
            (false, _) => HostHealth::Bad,
            (true, true) => HostHealth::Proven,
            (true, false) => HostHealth::Watched,
        },
    });
    let of_trouble = status
        .trouble
        .iter()
        .map(|trouble| HostFault { what: trouble.to_string(), hint: trouble.hint().to_owned() });
    let of_failure = record
        .failed
        .iter()
        .map(|failed| HostFault { what: failed.what.clone(), hint: failed.hint.clone() });
    let faults: Vec<HostFault> = of_trouble.chain(of_failure).chain(refused.cloned()).collect();
    let state = match (faults.is_empty(), &record.pending, is_active) {
        (false, ..) => HostState::Trouble,
        (true, Some(_), _) => HostState::Pending,
        (true, None, true) => HostState::Patched,
        (true, None, false) => HostState::NotPatched,
    };
    HostReport {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        target,
        boot_id,
        uptime_seconds,
        state,
        livepatch,
        faults,
        locked_out: status.locked_out.iter().copied().collect(),
    }
}
