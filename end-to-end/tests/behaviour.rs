//! What patch authors send, one patch for each behaviour: the functions that are replaced, what the
//! patch was adapted by, and what the guest shows. Or why there is no livepatch.

use elivepatch_end_to_end::{ClientCommand, ServerOptions, TestServer, own_patch};
use elivepatch_model::{AdaptationKind, FailureClass, Fault, StepName};

/// Patches that make one livepatch.
struct Case<'a> {
    /// Their names, in their order.
    patches: &'a [&'a str],
    /// What the guest shows: a command, a text in its output before and after the livepatch is
    /// active, and one in its output while it is.
    checks: &'a [(&'a str, &'a str, &'a str)],
    /// The replaced functions, sorted.
    functions: &'a [&'a str],
    /// The adaptations, each with its file, in their order.
    adaptations: &'a [(AdaptationKind, &'a str)],
    /// The adaptations that are switched off.
    without: &'a [AdaptationKind],
}

impl Case<'_> {
    /// A case without adaptations.
    const PLAIN: Self =
        Self { patches: &[], checks: &[], functions: &[], adaptations: &[], without: &[] };

    fn order(&self, server: &TestServer) -> ClientCommand {
        let mut order = server.build();
        for patch in self.patches {
            order = order.patch(&own_patch(patch));
        }
        for kind in self.without {
            order = order.args(["--without", kind.as_str()]);
        }
        if self.checks.is_empty() {
            return order;
        }
        let checks: String = self
            .checks
            .iter()
            .map(|(command, before, after)| {
                format!(
                    "[[check]]\ncommand = {command:?}\nbefore = {before:?}\nafter = {after:?}\n"
                )
            })
            .collect();
        let file = order.file("checks.toml", checks);
        order.args(["--checks".as_ref(), file.as_os_str()])
    }

    /// What is wrong with the livepatch; `None` when it is as it should be.
    fn fault(&self, server: &TestServer) -> Option<String> {
        let run = self.order(server).run();
        if run.code != Some(0) {
            return Some(format!("{:?}: code {:?}\n{}", self.patches, run.code, run.stderr));
        }
        let (_, manifest) = run.livepatch();
        let mut functions: Vec<&str> =
            manifest.functions.iter().map(|function| function.name.as_str()).collect();
        functions.sort_unstable();
        let adaptations: Vec<(AdaptationKind, &str)> =
            manifest.adaptations.iter().map(|made| (made.kind, made.file.as_str())).collect();
        let is_right = functions == self.functions
            && adaptations == self.adaptations
            && manifest.trial.checks.len() == self.checks.len();
        (!is_right).then(|| format!("{:?}: {functions:?} {adaptations:?}", self.patches))
    }
}

/// Patches that must give no livepatch.
struct Refusal<'a> {
    /// The patch, without `-FAIL`.
    patch: &'a str,
    class: FailureClass,
    step: StepName,
    /// What the client says of it.
    parts: &'a [&'a str],
    /// The adaptations that are switched off.
    without: &'a [AdaptationKind],
}

/// Orders every patch on one server; reports all that do not fail as they should.
#[track_caller]
fn all_are_refused(cases: &[Refusal]) {
    let server = TestServer::start(ServerOptions::default());
    let mut faults = Vec::new();
    for Refusal { patch, class, step, parts, without } in cases {
        let file = match without.is_empty() {
            true => own_patch(&format!("{patch}-FAIL")),
            // What fails only without its adaptation.
            false => own_patch(patch),
        };
        let off = without.iter().flat_map(|kind| ["--without", kind.as_str()]);
        let run = server.build().patch(&file).args(off).run();
        let said = &run.stderr;
        let code = if class.fault() == Fault::Request { 1 } else { 3 };
        let is_right = run.code == Some(code)
            && run.stored().is_empty()
            && said.contains(&format!("({class})"))
            && said.contains(&format!("failed in step {step}: "))
            && said.contains("\nhint: ")
            && parts.iter().all(|part| said.contains(part));
        if !is_right {
            faults.push(format!("{patch}: code {:?}, want {class}, {parts:?}:\n{said}", run.code));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Builds every case on one server; reports all that are not as they should be.
#[track_caller]
fn all_become_livepatches(cases: &[Case]) {
    let server = TestServer::start(ServerOptions::default());
    let faults: Vec<String> = cases.iter().filter_map(|case| case.fault(&server)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn lines_that_a_patch_leaves_alone_keep_their_numbers() {
    use AdaptationKind::LineNumbers;
    let patches = ["lines-above-warnings"];
    all_become_livepatches(&[
        Case {
            patches: &patches,
            checks: &[("stat -c size=%s /proc/driver", "size=0", "size=4242")],
            functions: &["__ext4_check_dir_entry", "proc_getattr"],
            adaptations: &[(LineNumbers, "fs/ext4/dir.c"), (LineNumbers, "fs/proc/generic.c")],
            ..Case::PLAIN
        },
        Case {
            patches: &patches,
            functions: &[
                "__ext4_check_dir_entry",
                "call_filldir",
                "ext4_check_all_de",
                "ext4_readdir",
                "proc_getattr",
            ],
            without: &[LineNumbers],
            ..Case::PLAIN
        },
    ]);
}

#[test]
fn inline_function_of_a_header_is_replaced_wherever_it_is_compiled_in() {
    let uptime = "read up rest < /proc/uptime; [ ${up%.*} -gt 1000000 ] && echo late || echo early";
    all_become_livepatches(&[Case {
        patches: &["header-inline"],
        checks: &[(uptime, "early", "late")],
        functions: &[
            "do_sysinfo.isra.0",
            "get_boottime_timespec",
            "posix_get_boottime_timespec",
            "uptime_proc_show",
        ],
        adaptations: &[(AdaptationKind::LineNumbers, "include/linux/time_namespace.h")],
        ..Case::PLAIN
    }]);
}

#[test]
fn changed_system_calls_are_defined_as_kpatch_needs_it() {
    use AdaptationKind::{LineNumbers, SyscallDefine};
    all_become_livepatches(&[Case {
        patches: &["syscall"],
        checks: &[("uname -s", "Linux", "Linux-live")],
        functions: &["__ia32_sys_newuname", "__x64_sys_newuname"],
        adaptations: &[(SyscallDefine, "kernel/sys.c"), (LineNumbers, "kernel/sys.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn new_files_and_parts_outside_the_kernel() {
    use AdaptationKind::{LineNumbers, OutsideKernel, RemovedFile};
    all_become_livepatches(&[Case {
        patches: &["new-file", "parts-outside-this-kernel"],
        checks: &[
            // A function and a variable that the kernel does not export, and data of its own.
            ("grep -o 'note 4. 1 1' /proc/uptime || echo none", "none", "note 4"),
            ("grep -c outside /proc/loadavg", "0", "1"),
        ],
        functions: &["loadavg_proc_show", "uptime_proc_show"],
        adaptations: &[
            (OutsideKernel, "Documentation/filesystems/proc.rst"),
            (OutsideKernel, "arch/arm64/kernel/setup.c"),
            (OutsideKernel, "tools/perf/builtin-stat.c"),
            (OutsideKernel, "drivers/gpu/drm/i915/i915_driver.c"),
            (RemovedFile, "fs/proc/nommu.c"),
            (RemovedFile, "fs/proc/devices.c"),
            (LineNumbers, "fs/proc/uptime.c"),
        ],
        ..Case::PLAIN
    }]);
}

#[test]
fn what_no_livepatch_can_do_is_refused() {
    use AdaptationKind::{OutsideKernel, RemovedFile, SyscallDefine};
    let outside = "parts-outside-this-kernel";
    all_are_refused(&[
        Refusal {
            patch: "new-file-with-initcall",
            class: FailureClass::InitCode,
            step: StepName::Diff,
            parts: &["fs/proc/live_note.o (.initcall7.init)", "KPATCH_PRE_PATCH_CALLBACK"],
            without: &[],
        },
        Refusal {
            patch: outside,
            class: FailureClass::CodeNotBuilt,
            step: StepName::Check,
            parts: &["Documentation/filesystems/proc.rst is documentation", "outside-kernel"],
            without: &[OutsideKernel],
        },
        Refusal {
            patch: outside,
            class: FailureClass::PatchFileSet,
            step: StepName::Check,
            parts: &["fs/proc/nommu.c is taken away", "removed-file"],
            without: &[RemovedFile],
        },
        Refusal {
            patch: "syscall",
            class: FailureClass::FunctionNotTraceable,
            step: StepName::Diff,
            parts: &["__do_sys_newuname"],
            without: &[SyscallDefine],
        },
    ]);
}
