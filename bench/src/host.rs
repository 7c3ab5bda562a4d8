//! The client on a machine that is patched: `apply.overhead`, `status.time`, `client.size`, `agent.memory` and
//! `agent.cpu`.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_end_to_end::{Livepatches, Said, module_name, way_to};

use crate::{figures::Figures, median::median, note, say, table};

/// How often each is measured in the guest.
const RUNS: usize = 7;

/// The guest runs under software emulation, beside other work.
const PATIENCE: Duration = Duration::from_secs(1200);

/// What `elivepatch apply` may take over insmod and the transition, in seconds.
const OVERHEAD_TARGET: f64 = 1.0;
/// What `elivepatch status` may take, in seconds.
const STATUS_TARGET: f64 = 0.05;
/// What the static client may have, in millions of bytes.
const SIZE_TARGET: f64 = 12.0;

/// The memory of the agent, in millions of bytes, at its highest.
const AGENT_MEMORY_TARGET: f64 = 20.0;
/// What the agent may take of a processor, in percent.
const AGENT_CPU_TARGET: f64 = 0.1;
/// For how long the agent is watched, in seconds.
const AGENT_SECONDS: u32 = 600;

/// What is measured with. The guest's kernel and its modules, the server's program and the cache are named by the
/// variables of the end-to-end tests.
#[derive(Debug, clap::Args)]
pub struct Inputs {
    /// The client as it is passed on: one static file, stripped.
    #[arg(long, value_name = "FILE")]
    client: Utf8PathBuf,
    /// Where host.json goes.
    #[arg(long, value_name = "DIR")]
    output: Utf8PathBuf,
}

/// Measures, prints a table and writes host.json.
///
/// # Errors
/// When the client is not there, or the guest's times cannot be read.
pub fn run(inputs: &Inputs) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    let size = fs_err::metadata(&inputs.client).context("there is no client to measure")?.len();
    figures.memory("client.size", size).target(SIZE_TARGET);
    note(format!(
        "elivepatch status on this machine, without emulation and with nothing loaded: {:.1} ms",
        status_here(&inputs.client)? * 1000.0
    ));
    say("a livepatch for the stock kernel, and a guest that runs it");
    let livepatches = Livepatches::new();
    let said = in_guest(&livepatches);
    measure(&said, &mut figures)?;
    say(format!("the agent in a guest, for {AGENT_SECONDS} s"));
    agent(&livepatches, &mut figures);
    let path = inputs.output.join("host.json");
    figures.write(&path)?;
    println!("{}", table::table(&figures));
    println!("figures: {path}");
    Ok(())
}

/// What `elivepatch status` takes on the machine that measures, in seconds.
fn status_here(client: &Utf8Path) -> anyhow::Result<f64> {
    let state = tempfile::tempdir().context("no directory for its state")?;
    let once = || -> anyhow::Result<f64> {
        let mut command = Command::new(client);
        command.arg("status").env("ELIVEPATCH_STATE_DIRECTORY", state.path());
        let begin = Instant::now();
        let output = command.output().context("the client does not run")?;
        let seconds = begin.elapsed().as_secs_f64();
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(seconds)
    };
    Ok(median((0..=RUNS).map(|_| once()).collect::<anyhow::Result<Vec<_>>>()?))
}

/// Loads the livepatch again and again: by hand, and by the client. Whatever the machine needs beside is there before
/// it is measured: the files are in memory, and the first of each is thrown away.
fn in_guest(livepatches: &Livepatches) -> Said {
    let name = module_name(&livepatches.first);
    let machine = livepatches.machine(&[]);
    let script = format!(
        r#"
        cp /disk/a.ko /disk/a.ko.manifest.json /tmp
        now() {{ cut -d ' ' -f 1 /proc/uptime; }}
        # In the kernel's own words: loaded, and no task left in the old function.
        by_hand() {{
            insmod /tmp/a.ko
            while [ "$(cat /sys/kernel/livepatch/{name}/transition)" = 1 ]; do usleep 10000; done
        }}
        undo() {{
            elivepatch revert >/dev/null 2>&1
            echo 0 >/sys/kernel/livepatch/{name}/enabled
            while [ -e /sys/kernel/livepatch/{name} ]; do usleep 10000; done
            rmmod {name}
            usleep 500000
        }} 2>/dev/null
        number=0
        while [ $number -le {RUNS} ]; do
            begin=$(now); by_hand; end=$(now)
            echo "by-hand $begin $end"
            undo
            begin=$(now); elivepatch apply /tmp/a.ko >/dev/null 2>&1; end=$(now)
            echo "apply $begin $end"
            # Ten at once: the clock has hundredths of a second.
            begin=$(now)
            for one in 1 2 3 4 5 6 7 8 9 10; do elivepatch status >/dev/null; done
            end=$(now)
            echo "status $begin $end"
            begin=$(now)
            for one in 1 2 3 4 5 6 7 8 9 10; do elivepatch --version >/dev/null; done
            end=$(now)
            echo "version $begin $end"
            undo
            number=$((number + 1))
        done
        run last elivepatch apply /tmp/a.ko
        "#
    );
    machine.start(&script, "").with_patience(PATIENCE).goes_off()
}

fn measure(said: &Said, figures: &mut Figures) -> anyhow::Result<()> {
    ensure!(said.of("last").code == 0, "the client does not load the livepatch");
    let by_hand = times(said, "by-hand")?;
    let apply = times(said, "apply")?;
    let by_hand = median(by_hand);
    let overhead = median(apply.iter().map(|seconds| seconds - by_hand));
    note(format!("by hand {by_hand:.2} s, elivepatch apply {:.2} s", median(apply)));
    figures
        .seconds("apply.overhead", overhead.max(0.0))
        .target(OVERHEAD_TARGET)
        .compared_with("insmod and the transition", by_hand);
    let of_ten = |what| Ok::<_, anyhow::Error>(median(times(said, what)?) / 10.0);
    // Starting any program takes its time under software emulation.
    let version = of_ten("version")?;
    figures
        .seconds("status.time", of_ten("status")?)
        .target(STATUS_TARGET)
        .compared_with("elivepatch --version", version);
    Ok(())
}

/// Watches an agent that has registered its machine, and has loaded what is assigned to it: with its looks after one and
/// five minutes, and the reports of those.
fn agent(livepatches: &Livepatches, figures: &mut Figures) {
    let server = &livepatches.server;
    let token = server.command(["token", "create", "--role", "host"]);
    server.command(["host", "assign", "1", "--all"]);
    let (way, url, token) = (way_to(&server.url()), server.url(), token.trim());
    let name = module_name(&livepatches.first);
    let script = format!(
        r#"{way}
        mkdir -p /etc/elivepatch
        echo 'jitter_seconds = 0' >/etc/elivepatch/agent.toml
        echo {token} >/tmp/token
        run enrol elivepatch enrol --url {url} --token-file /tmp/token --name bench
        elivepatch agent 2>/tmp/agent &
        agent=$!
        until ls /sys/kernel/livepatch | grep -q {name}; do sleep 1; done
        sleep 10
        watch used $agent {AGENT_SECONDS}
        run said cat /tmp/agent
        "#
    );
    let said = livepatches.machine(&[]).start(&script, "").with_patience(PATIENCE).goes_off();
    let used = said.used("used");
    note(format!(
        "{:.2} s of {:.0} s, {} KiB at the end: {}",
        used.cpu_seconds,
        used.seconds,
        used.resident_kib,
        said.done("said").lines().last().unwrap_or_default()
    ));
    figures.memory("agent.memory", used.peak_kib * 1024).target(AGENT_MEMORY_TARGET);
    figures.percent("agent.cpu", 100.0 * used.cpu_seconds / used.seconds).target(AGENT_CPU_TARGET);
}

/// The times of one thing, in seconds, without the first.
fn times(said: &Said, what: &str) -> anyhow::Result<Vec<f64>> {
    let mut found = Vec::new();
    for line in said.lines().filter_map(|line| line.strip_prefix(what)) {
        let mut words = line.split_whitespace().map(str::parse::<f64>);
        let (Some(Ok(begin)), Some(Ok(end))) = (words.next(), words.next()) else { continue };
        found.push(end - begin);
    }
    ensure!(found.len() == RUNS + 1, "{what} was measured {} times", found.len());
    Ok(found.split_off(1))
}
