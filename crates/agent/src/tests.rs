use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use elivepatch_api::{Assigned, HostFault, HostHealth, HostOrder, HostReport, HostState, Order};
use elivepatch_host::{
    Applying, Host, StateDirectory,
    fake::{Fate, RELEASE, World},
};
use elivepatch_model::{Architecture, BuildNumber, Sha256Digest, TargetFacts};
use jiff::civil::{DateTime, date};

use super::*;

/// A server and a clock, both of a test.
#[derive(Clone, Default)]
struct Around(Rc<Inner>);

#[derive(Default)]
struct Inner {
    /// What it answers; absent: it is away.
    order: RefCell<Option<Order>>,
    reports: RefCell<Vec<HostReport>>,
    livepatches: RefCell<BTreeMap<Sha256Digest, Applying>>,
    fetched: Cell<u32>,
    said: RefCell<Vec<String>>,
    hour: Cell<i8>,
}

impl Surroundings for Around {
    fn target(&self) -> Result<TargetFacts, String> {
        Ok(TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64))
    }

    async fn report(&self, report: &HostReport) -> Result<HostOrder, Unreached> {
        match self.0.order.borrow().clone() {
            Some(order) => {
                self.0.reports.borrow_mut().push(report.clone());
                Ok(HostOrder { order, report_after_seconds: 900 })
            }
            None => Err(Unreached { why: "it is away".to_owned(), hint: "wait".to_owned() }),
        }
    }

    async fn fetch(&self, assigned: &Assigned) -> Result<Applying, HostFault> {
        self.0.fetched.set(self.0.fetched.get() + 1);
        let found = self.0.livepatches.borrow().get(&assigned.digest).cloned();
        found.ok_or_else(|| HostFault { what: "it is not there".to_owned(), hint: String::new() })
    }

    fn start_guard(&self) {}

    fn say(&self, text: &str) {
        self.0.said.borrow_mut().push(text.to_owned());
    }

    fn now(&self) -> DateTime {
        date(2026, 11, 26).at(self.0.hour.get(), 0, 0, 0)
    }
}

impl Around {
    fn orders(&self, order: Order) {
        *self.0.order.borrow_mut() = Some(order);
    }

    /// Assigns a livepatch, and has it.
    fn assigns(&self, applying: &Applying, at_once: bool) {
        let digest = applying.module.digest;
        self.0.livepatches.borrow_mut().insert(digest, applying.clone());
        self.orders(Order::Load(Assigned { build: BuildNumber(7), digest, at_once }));
    }

    fn last_report(&self) -> HostReport {
        self.0.reports.borrow().last().cloned().expect("a report")
    }
}

/// An agent that does not wait for its turn.
fn agent<'a>(
    world: &'a World,
    directory: &'a StateDirectory,
    around: &Around,
    window: &str,
) -> Agent<'a, Around> {
    let windows = window.split_terminator(';').map(|text| text.parse().expect("a window"));
    let windows = windows.collect();
    let options = AgentOptions { windows, jitter: Duration::ZERO, ..AgentOptions::default() };
    let name = "web-17".parse().expect("a name");
    Agent::new(&world.machine, directory, name, options, around.clone()).expect("an agent")
}

/// One round, without waiting for anything.
fn round(agent: &mut Agent<'_, Around>) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(agent.round())
}

fn place(world: &World) -> StateDirectory {
    StateDirectory::at(Some(&world.state()))
}

#[test]
fn assigned_livepatch_is_loaded_told_and_replaced() {
    let (world, around) = (World::new(), Around::default());
    let directory = place(&world);
    let mut agent = agent(&world, &directory, &around, "");
    around.orders(Order::Stay);
    let pause = round(&mut agent);
    assert!((Duration::from_secs(800)..=Duration::from_secs(900)).contains(&pause), "{pause:?}");
    assert_eq!(around.last_report().state, HostState::NotPatched);
    let (first, second) = (world.livepatch("first"), world.livepatch("second"));
    for applying in [&first, &second] {
        around.assigns(applying, false);
        // The server is asked when its time has come; the next agent asks at once.
        drop(agent);
        agent = self::agent(&world, &directory, &around, "");
        let pause = round(&mut agent);
        assert_eq!(world.active(), [applying.module.name.as_str()]);
        let report = around.last_report();
        assert_eq!(report.state, HostState::Patched, "{:?}", report.faults);
        let livepatch = report.livepatch.expect("it is told");
        assert_eq!((livepatch.digest, livepatch.active), (applying.module.digest, true));
        assert_eq!(livepatch.health, HostHealth::Watched);
        assert!(pause <= Duration::from_secs(61), "the machine is looked after: {pause:?}");
    }
    assert_eq!(around.0.fetched.get(), 2);
    // Back to the first: it is here still.
    around.assigns(&first, false);
    drop(agent);
    let mut agent = self::agent(&world, &directory, &around, "");
    round(&mut agent);
    assert_eq!((world.active(), around.0.fetched.get()), (vec!["first".to_owned()], 2));
    assert!(agent.is_well());
}

#[test]
fn window_and_server_are_waited_for_and_the_order_is_asked_for_again() {
    let (world, around) = (World::new(), Around::default());
    let directory = place(&world);
    let mut agent = agent(&world, &directory, &around, "02:00-04:00;22:00-24:00");
    around.0.hour.set(12);
    let first = world.livepatch("first");
    around.assigns(&first, false);
    let pause = round(&mut agent);
    assert_eq!(world.active(), [""; 0]);
    assert!(pause <= Duration::from_secs(30), "{pause:?}");
    let record = directory.agent_record().expect("a record");
    let pending = record.pending.expect("it waits");
    assert_eq!(
        (pending.build, pending.waits_for.as_str()),
        (BuildNumber(7), "the maintenance window")
    );
    // The window opens while the server is away: without its word nothing is loaded.
    around.0.hour.set(3);
    *around.0.order.borrow_mut() = None;
    round(&mut agent);
    assert_eq!((world.active(), agent.is_well()), (vec![], false));
    let record = directory.agent_record().expect("a record");
    assert_eq!(record.unheard.as_deref(), Some("it is away"));
    // It is withdrawn before it was loaded.
    around.orders(Order::Stay);
    round(&mut agent);
    assert_eq!(world.active(), [""; 0]);
    assert_eq!(directory.agent_record().expect("a record").pending, None);
    around.assigns(&first, false);
    drop(agent);
    let mut agent = self::agent(&world, &directory, &around, "02:00-04:00");
    round(&mut agent);
    assert_eq!(world.active(), ["first"]);
    let said = around.0.said.borrow().join("\n");
    assert!(
        said.contains("it is away; wait") && said.contains("first of build 7 is active"),
        "{said}"
    );
}

#[test]
fn withdrawn_livepatch_is_taken_back_whatever_the_window() {
    let (world, around) = (World::new(), Around::default());
    let directory = place(&world);
    let mut agent = agent(&world, &directory, &around, "02:00-04:00");
    around.0.hour.set(3);
    let first = world.livepatch("first");
    around.assigns(&first, false);
    round(&mut agent);
    assert_eq!(world.active(), ["first"]);
    around.0.hour.set(12);
    around.orders(Order::Unload { reason: "it leaks".to_owned() });
    drop(agent);
    let mut agent = self::agent(&world, &directory, &around, "02:00-04:00");
    round(&mut agent);
    assert_eq!(world.active(), [""; 0]);
    assert_eq!(around.last_report().state, HostState::NotPatched);
    // The server may let it be loaded again: nobody here has taken it back.
    around.assigns(&first, true);
    drop(agent);
    let mut agent = self::agent(&world, &directory, &around, "02:00-04:00");
    round(&mut agent);
    assert_eq!(world.active(), ["first"]);
}

#[test]
fn what_somebody_has_taken_back_here_stays_so_until_he_loads_it() {
    let (world, around) = (World::new(), Around::default());
    let directory = place(&world);
    let first = world.livepatch("first");
    around.assigns(&first, false);
    round(&mut agent(&world, &directory, &around, ""));
    let options = elivepatch_host::ApplyOptions::default();
    let mut host = Host::open(&world.machine, &directory).expect("it is free");
    host.revert(None, "asked for", &options, &mut |_| {}).expect("it goes");
    drop(host);
    let mut first_agent = agent(&world, &directory, &around, "");
    round(&mut first_agent);
    assert_eq!((world.active(), first_agent.is_well()), (vec![], false));
    let report = around.last_report();
    assert_eq!(report.state, HostState::Trouble);
    assert!(report.faults[0].what.contains("has taken it back"), "{report:?}");
    drop(first_agent);
    let mut host = Host::open(&world.machine, &directory).expect("it is free");
    host.apply(&first, &options, &mut |_| {}).expect("it is loaded");
    drop(host);
    let mut agent = agent(&world, &directory, &around, "");
    round(&mut agent);
    assert!(agent.is_well());
    assert_eq!(around.last_report().state, HostState::Patched);
}

#[test]
fn what_fails_is_told_and_not_tried_again_at_once() {
    let (world, around) = (World::new(), Around::default());
    let directory = place(&world);
    world.fate(Fate::Stalls);
    around.assigns(&world.livepatch("first"), true);
    let mut agent = agent(&world, &directory, &around, "");
    round(&mut agent);
    assert_eq!(world.active(), [""; 0]);
    let report = around.last_report();
    assert_eq!(report.state, HostState::Trouble);
    assert!(report.faults[0].what.contains("did not end"), "{report:?}");
    let fetched = around.0.fetched.get();
    drop(agent);
    world.fate(Fate::Works);
    let mut agent = self::agent(&world, &directory, &around, "");
    round(&mut agent);
    assert_eq!((world.active(), around.0.fetched.get()), (vec![], fetched), "half an hour later");
    // Another livepatch is another try.
    around.assigns(&world.livepatch("second"), true);
    drop(agent);
    let mut agent = self::agent(&world, &directory, &around, "");
    round(&mut agent);
    assert_eq!(world.active(), ["second"]);
    assert_eq!(around.last_report().faults, []);
}

#[test]
fn livepatch_that_harms_the_machine_is_taken_back_and_not_loaded_again() {
    let (world, around) = (World::new(), Around::default());
    let directory = place(&world);
    let mut agent = agent(&world, &directory, &around, "");
    let first = world.livepatch("first");
    around.assigns(&first, false);
    round(&mut agent);
    assert_eq!(world.active(), ["first"]);
    world.write("proc/sys/kernel/tainted", "4224");
    round(&mut agent);
    assert_eq!(world.active(), [""; 0]);
    let report = around.last_report();
    assert_eq!(
        (report.state, &report.locked_out),
        (HostState::Trouble, &vec![first.module.digest])
    );
    round(&mut agent);
    assert_eq!(world.active(), [""; 0], "the server still wants it");
}

#[test]
fn round_with_trouble_is_not_well_also_when_the_server_wants_nothing() {
    let (world, around) = (World::new(), Around::default());
    let directory = place(&world);
    let mut agent = agent(&world, &directory, &around, "");
    around.assigns(&world.livepatch("first"), false);
    round(&mut agent);
    around.orders(Order::Stay);
    world.write("proc/sys/kernel/tainted", "4224");
    round(&mut agent);
    assert_eq!((world.active(), agent.is_well()), (vec![], false), "it was taken back");
    round(&mut agent);
    assert!(agent.is_well(), "{:?}", around.0.said.borrow());
    let reports = around.0.reports.borrow().len();
    std::fs::write(world.state().join("state.json"), r#"{"version": 99}"#).expect("written");
    drop(agent);
    let mut agent = self::agent(&world, &directory, &around, "");
    round(&mut agent);
    assert_eq!(
        (around.0.reports.borrow().len(), agent.is_well()),
        (reports, false),
        "the machine cannot be looked at: {:?}",
        around.0.said.borrow()
    );
}

#[test]
fn livepatch_is_loaded_after_a_reboot_once_and_not_when_it_is_switched_off() {
    let (world, around) = (World::new(), Around::default());
    let directory = place(&world);
    around.assigns(&world.livepatch("first"), false);
    round(&mut agent(&world, &directory, &around, ""));
    let mut host = Host::open(&world.machine, &directory).expect("it is free");
    host.shut_down().expect("written");
    drop(host);
    world.reboot("b007-2");
    *around.0.order.borrow_mut() = None;
    let mut second = agent(&world, &directory, &around, "");
    round(&mut second);
    assert_eq!(world.active(), ["first"], "also without the server");
    drop(second);
    let mut host = Host::open(&world.machine, &directory).expect("it is free");
    host.shut_down().expect("written");
    drop(host);
    world.reboot("b007-3");
    world.write("proc/cmdline", "quiet elivepatch=off");
    around.assigns(&world.livepatch("second"), true);
    let mut third = agent(&world, &directory, &around, "");
    round(&mut third);
    assert_eq!(world.active(), [""; 0]);
    let faults = around.last_report().faults;
    assert!(faults.iter().any(|fault| fault.what.contains("elivepatch=off")), "{faults:?}");
}

#[test]
fn module_that_is_not_the_assigned_one_is_not_loaded() {
    let (world, around) = (World::new(), Around::default());
    let directory = place(&world);
    let (first, second) = (world.livepatch("first"), world.livepatch("second"));
    around.assigns(&first, true);
    around.0.livepatches.borrow_mut().insert(first.module.digest, second);
    let mut agent = agent(&world, &directory, &around, "");
    round(&mut agent);
    assert_eq!(world.active(), [""; 0]);
    let faults = around.last_report().faults;
    assert!(faults[0].what.contains("is not the one that is assigned"), "{faults:?}");
}
