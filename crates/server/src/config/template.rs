use camino::Utf8Path;

use super::{
    DEFAULT_CVE_HEADER_OBJECTS, DEFAULT_LIVEPATCH_FUNCTIONS, DEFAULT_LIVEPATCH_OBJECTS,
    MOST_WORKERS, Overrides, Places, ServerConfig, access_template::ACCESS, compat::COMPAT,
    fixes_template::FIXES, signing_template::SIGNING, source_template::SOURCES, worker::WORKER,
};

/// The config file that `elivepatch-server init` writes: every key with its meaning, its default
/// and the reason for it. It is the reference documentation of the config. The keys in `chosen` are
/// switched on with their values.
pub fn template(places: &Places, chosen: &Overrides) -> String {
    let mut config = ServerConfig::defaults(places);
    chosen.apply(&mut config);
    let mark = |is_chosen: bool| if is_chosen { "" } else { "#" };
    let builder = &config.builder;
    let suites = config.debian.suites.iter().map(|suite| format!("\"{suite}\""));
    let suites = suites.collect::<Vec<_>>().join(", ");
    format!(
        r##"# Config of elivepatch-server.
#
# Every key is shown with its default; remove the "#" before a key to change it. After a change:
#   elivepatch-server check-config

# Where the API listens. The default is reached from this machine only. On an address that other machines
# reach, requests must come with a token, and connections are encrypted: see [access] and [tls].
{listen_mark}listen = "{listen}"

# Records, the queue, and the blobs (configs, patches, modules). Back this up.
{data_mark}data_directory = {data}

# Downloaded packages, toolchain roots, prepared bases and work directories. It is safe to delete
# while the server is stopped: all of it can be made again. A Debian kernel takes about 4 GB.
{cache_mark}cache_directory = {cache}

# Recipes of toolchain roots beside those that come with elivepatch, a file NAME.toml each. Without it
# there are only those: elivepatch-server toolchain list
#toolchain_recipes = "/etc/elivepatch/toolchains"

# How many builds may wait; further ones are refused with "queue-full". At ten seconds a build, the
# default is almost three hours of work.
#queue_limit = {queue_limit}

{ACCESS}{COMPAT}[builder]
# How many builds run at the same time, each in a worker of its own; {most_workers} at most. A build compiles
# on all cores for seconds and then waits for its trial, which takes one core; more workers than cores
# are of little use. The limits below hold for each build, or each of its tools: with N workers, N times
# memory_limit_mib must fit into the machine's memory, and N times disk_limit_mib onto the disk.
#workers = {workers}

# How many compilers run at the same time in one build; 0 is one for each core, whatever the number of
# workers: a build that is alone then has all cores, and builds side by side share them. Each then takes
# longer, also towards its time limits. Where N workers with a compiler for each core need more memory
# than there is, take the number of cores divided by N.
#jobs = {jobs}

# The most objects that are compiled for the headers that a request touches: those of all its patches
# together, and an object that several headers reach counts once. Two cores compile 60 to 100 objects
# in a minute, in two states each; headers with more dependents reach most of the kernel.
#header_objects = {header_objects}

# How long one tool of a build may run, in seconds. One file takes seconds, preparing a base about
# a minute; the default leaves room for a slow machine.
#build_time_limit_seconds = {build_time}

# How long a tool may print nothing, in seconds, before it is taken to hang.
#silence_limit_seconds = {silence}

# How much memory the tools of a build may use together, in MiB. A compiler takes up to 500 MiB for
# a large file, and reading the debug information of vmlinux about 1 GiB.
#memory_limit_mib = {memory}

# How many processes and threads a build may have. It stops a patch that forks without end.
#process_limit = {processes}

# How much a tool may print, in MiB.
#output_limit_mib = {output}

# How much a build may write, in MiB. Preparing a base writes 1.5 GB.
#disk_limit_mib = {disk}

# How long building a whole kernel from one of the sources below may take, in seconds. It is done once
# for each kernel. A small one takes minutes, that of a distribution hours.
#base_build_seconds = {base_time}

# How large its tree may grow meanwhile, in MiB. A small kernel takes 4 GB, a distribution's 30.
#base_disk_limit_mib = {base_disk}

# How much the objects may take that are kept beside each base, in MiB. An object is compiled once
# without any patch and serves every later build that touches it; with its debug information it has 0.5
# MB and more, and one patch to a header may add thousands. When a build has ended and no other uses the
# base, those that were not used the longest are removed; they are compiled again when need be.
#originals_limit_mib = {originals}

# How long a trial may take, in seconds. With KVM or in emulation it takes some 5 seconds; a busy machine needs longer.
#trial_time_limit_seconds = {trial}

# Whether builds share a prepared base by overlayfs. Where the machine does not allow that, and when
# this is false, each build makes two copies of it: 3 GB, and up to a minute.
#overlay = {overlay}

{WORKER}[policy]
# Whether a request may ask for a livepatch even where it is not proven that what the server compiles
# equals the kernel that runs (elivepatch build --accept-unproven). A livepatch that does not fit can
# crash the machine or corrupt its data; what protects from that then is only the trial, which runs on
# the kernel that the server has. Clients of the REST API v1.0 cannot ask: see accept_unproven under [compat].
#allow_unproven = {unproven}

# Which fixes of CVEs are built into livepatches without anybody having looked at them: "same-branch" takes
# those that the target's own branch of Linux has, "approved-only" none. A fix that only mainline has is
# never taken by itself: it was made for another source. In either case a fix that a person approved
# (elivepatch-server fix approve) is built.
#automatic_cve_fixes = "same-branch"

# What is never built, not even when it was approved: fixes of these CVEs, such as "CVE-2026-63824", and
# fixes that change one of these files: a path in the kernel's tree, such as "mm/mmap.c", or all below a
# directory, which ends in "/": "net/sctp/" is a subsystem.
#deny_cves = []
#deny_files = []

# The most objects that are compiled for the headers which the fix of a CVE touches, when header_objects
# allows as many. A fix that reaches more is named (header-fan-out) and left out; elivepatch build makes a
# livepatch of it alone. Two cores take a second for each of them.
#cve_header_objects = {cve_headers}

# The most functions that one livepatch of fixes for CVEs replaces. The kernel's change to a livepatch is
# complete only when no task sleeps in any of them, so it takes longer, and may not end, with many. The
# worst CVEs come first; those for which no room is left wait for a reboot into a newer kernel.
#livepatch_functions = {functions}

# The most objects that it patches: vmlinux counts as one, and so does each module. A module that is loaded
# later is patched while it loads, and cannot be loaded when that fails.
#livepatch_objects = {objects}

[feed]
# Where the records of the kernel's CVEs come from: the address of the git repository of the kernel's CVE
# team, a clone of it on this machine, a directory with published/ and rejected/ in it, or a tarball of
# that (plain, or compressed with zstd or gzip). Without it nothing is read, and what was imported
# (elivepatch-server feed import) stays: that is how a server without a network has it.
#source = "https://git.kernel.org/pub/scm/linux/security/vulns.git"

# How often it is read, in hours. Only what has changed is fetched.
#every_hours = {feed_hours}

# How old its data may be, or how long ago it may have been read, in days, before it is called stale in
# everything that is said by it. It is a week, because a few days without anything new, as over holidays,
# are no reason to worry.
#stale_days = {feed_days}

# The public keys of those whose exports are imported without naming a key: what elivepatch-server feed keygen
# prints, "RW" and 54 further characters. Several while one takes the place of another.
#public_keys = []

{FIXES}
[hosts]
# After how many seconds each host reports again, which is how soon hosts hear of what is assigned to them or
# withdrawn; 10 to 86400. A host that has left three reports out is called silent. With 5,000 hosts the
# default is six reports a second.
#report_seconds = {report_seconds}

{SIGNING}[cache]
# The most that the cache may take, in GiB. When it takes more after a build, the bases, packages and
# sources that were not used the longest are removed, but none that is in use or pinned
# (elivepatch-server base pin). Each can be made or fetched again. Without it nothing is removed. A
# kernel takes about 4 GB, and what is being made comes on top: leave as much free for each worker.
#disk_budget_gib = 40

[debian]
# A server that is no Debian needs this only for toolchain recipes that install or unpack packages of
# Debian, and for Debian's stock kernels; both need apt there. Else nothing of it is asked for.

# The base URL of a Debian archive, such as "http://mirror.example.org/debian". When it is absent, the
# one that this machine's own apt is configured with is used.
#mirror = "http://mirror.example.org/debian"

# The base URL of the security archive; when it is absent, as for mirror.
#security_mirror = "http://mirror.example.org/debian-security"

# The suites in which the packages of a kernel are looked for. Those that end in "-security" are
# read from the security archive. A suite that the mirror lacks is left out; the build's log says so.
#suites = [{suites}]

{SOURCES}"##,
        listen_mark = mark(chosen.listen.is_some()),
        listen = config.listen,
        data_mark = mark(chosen.data_directory.is_some()),
        data = quoted(&config.data_directory),
        cache_mark = mark(chosen.cache_directory.is_some()),
        cache = quoted(&config.cache_directory),
        queue_limit = config.queue_limit,
        most_workers = MOST_WORKERS,
        workers = builder.workers,
        jobs = builder.jobs,
        header_objects = builder.header_objects,
        build_time = builder.build_time_limit_seconds,
        silence = builder.silence_limit_seconds,
        memory = builder.memory_limit_mib,
        processes = builder.process_limit,
        output = builder.output_limit_mib,
        disk = builder.disk_limit_mib,
        base_time = builder.base_build_seconds,
        base_disk = builder.base_disk_limit_mib,
        originals = builder.originals_limit_mib,
        report_seconds = config.hosts.report_seconds,
        trial = builder.trial_time_limit_seconds,
        overlay = builder.overlay,
        unproven = config.policy.allow_unproven,
        cve_headers = DEFAULT_CVE_HEADER_OBJECTS,
        functions = DEFAULT_LIVEPATCH_FUNCTIONS,
        objects = DEFAULT_LIVEPATCH_OBJECTS,
        feed_hours = config.feed.every_hours,
        feed_days = config.feed.stale_days,
    )
}

fn quoted(path: &Utf8Path) -> String {
    toml::Value::from(path.as_str()).to_string()
}
