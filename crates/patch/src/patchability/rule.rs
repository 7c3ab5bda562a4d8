use serde::{Serialize, Serializer};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Good to know; the verdict does not depend on it.
    Note,
    /// It may be refused, or be wrong at run time: text alone does not tell.
    Unsure,
    /// There will be no livepatch, or none that is right.
    Refused,
}

macro_rules! rules {
    ($($(#[doc = $why:literal])+ $variant:ident = $name:literal, $advice:literal;)+) => {
        /// A reason why a change may not be live-patchable. Each has a part of its own, under its
        /// name, in `docs/patchability.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[doc = $why])+ $variant,)+
        }

        impl Rule {
            /// All rules, in the order of their documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name; also the anchor in `docs/patchability.md`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Why it stands in the way.
            pub fn why(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($why),+).trim_ascii_start(),)+
                }
            }

            /// What the author can do.
            pub fn advice(self) -> &'static str {
                match self {
                    $(Self::$variant => $advice,)+
                }
            }
        }
    };
}

rules! {
    /// A livepatch replaces functions: the options and tools that it needs are set when the kernel is built.
    Config = "config", "only a kernel that is built with another config can be live-patched";
    /// The file never is part of the running kernel.
    LeftOut = "left-out", "nothing, as this kernel does not have the code; beside other patches, leave a patch of nothing else out";
    /// The file takes part in building the kernel and is not compiled into it: what it changes cannot be told without a whole build.
    BuildSystem = "build-system", "leave the file out; write what the code needs of it into the .c file";
    /// Assembly has no functions that kpatch could compare and the kernel could redirect.
    Assembly = "assembly", "change the C code that calls it";
    /// The code has run already, runs outside the kernel proper, or is in objects that kpatch never compares.
    UnpatchableCode = "unpatchable-code", "change the C code that calls it, or install a fixed kernel and reboot";
    /// A file appears that nothing compiles or that becomes a module of its own, or one is copied or renamed.
    FileSet = "file-set", "name the new file in a Makefile of the patch (NAME-y += FILE.o), and leave the others where they are";
    /// The change of a header reaches every object that includes it; all of them must be compiled and compared, and what kpatch refuses in one of them refuses the livepatch.
    Header = "header", "move the change into the .c files that need it: a copy of the inline function under a new name, or a macro of their own";
    /// The lines of the patch are not in the source.
    DoesNotApply = "does-not-apply", "take the fix from the target's own stable branch, or port it";
    /// Without comments and blanks both sides are the same: no function changes.
    NoCodeChange = "no-code-change", "nothing has to be done: the running kernel already behaves so";
    /// The text does not show in which function, data or type the change is, or how that is declared: it may be `__init`, `notrace` or no function at all.
    FunctionUnknown = "function-unknown", "make the patch with git diff, which writes the function's line behind each @@, or name the source with --source";
    /// Code marked `__init` or `__exit` has run and is gone, or runs only when a module goes: the change has no effect before the next boot of a fixed kernel, and kpatch refuses its section.
    InitCode = "init-code", "take these hunks out of the patch if the build does not leave them out by itself; if their effect is needed now, do the same from a callback, or in the code that uses what was initialised";
    /// The function has no call to `__fentry__` at its beginning (`notrace`, `noinstr`, a file compiled without tracing), so the kernel cannot redirect it.
    NotTraceable = "not-traceable", "change the nearest traceable function that calls it";
    /// Since Linux 6.11 the kernel writes some constants into its own code when it boots: the limit of user addresses in `access_ok()` and `user_access_begin()`, and the table of `fs/dcache.c`. A livepatch never gets them.
    RuntimeConstant = "runtime-constant", "change functions that do not hold it, or have the whole file read the variable";
    /// The function is in a section of its own (`__sched`, `__kprobes`, …), in which kpatch cannot tell functions apart.
    SectionCode = "section-code", "change the functions that call it; or have them call a copy of it without the attribute";
    /// `inline` implies `notrace` in the kernel: where the compiler did not inline the function, its copy cannot be redirected. Where it did, all callers change.
    InlineFunction = "inline-function", "if the build refuses it, have the callers call a changed copy under a new name";
    /// A function that the compiler may inline changes its callers with it, and one of the callers cannot be replaced.
    InlinedCaller = "inlined-caller", "mark the function noinline under a new name, and call that where it is needed";
    /// A livepatch replaces functions, not data: the variable's memory is in use and keeps its value, and kpatch refuses an object whose data differs.
    ChangedData = "changed-data", "leave the data as it is; set the new value from a pre-patch callback, or decide in the code that reads it";
    /// kpatch copies constant data only along with changed functions that use it: when anything else uses it, the livepatch is refused, and old code goes on with the old copy.
    ConstantData = "constant-data", "leave the table as it is and handle the new case in the function that reads it";
    /// Per-cpu, read-mostly and other data in sections of their own cannot be added to: kpatch sees the whole section change.
    SectionData = "section-data", "use an ordinary static variable, or a shadow variable";
    /// New data lives in the livepatch: it begins with its initial value when the livepatch is loaded, and is gone when it is disabled or replaced.
    NewData = "new-data", "nothing, if the value may begin anew; otherwise keep it in a shadow variable";
    /// The variable goes away or gets another name: nothing carries its value over, and old code goes on using the old one.
    RemovedData = "removed-data", "keep the variable and its name";
    /// Objects that exist already have the old layout, and code that is not compiled anew expects it: memory would be corrupted. kpatch does not see this; elivepatch compares the layouts and refuses.
    DataStructure = "data-structure", "keep the layout; attach new fields by shadow variables (klp_shadow_alloc), or use padding that is zero in old objects";
    /// Values of an enumeration or a type have another meaning from now on; data of the old meaning exists, and code that is not compiled anew expects it.
    TypeMeaning = "type-meaning", "add constants at the end only, and see that old code copes with them";
    /// A static local variable that the running code uses has no counterpart any more: kpatch refuses that, because its value would be lost.
    StaticLocalRemoved = "static-local-removed", "keep the variable under its name, and use it once, as in (void)READ_ONCE(name)";
    /// A new static local variable begins with its initial value when the livepatch is loaded.
    StaticLocalAdded = "static-local-added", "nothing, if the value may begin anew";
    /// The function is exported or shared: code that is not compiled anew calls the new function with the old arguments.
    ExportedSignature = "exported-signature", "keep the function as it is, and add a new one under another name for the changed callers";
    /// The function's parameters or result change: every caller must change in the same patch.
    Signature = "signature", "see that all callers are in the patch; else add a new function under another name";
    /// The function becomes static, global or inline: kpatch refuses a symbol that exists on both sides with another binding.
    Linkage = "linkage", "leave the storage class as it is";
    /// Everything that uses the macro changes; users that cannot be replaced (data, __init code) refuse the livepatch.
    MacroChanged = "macro-changed", "change the functions that need it, or give the new macro another name";
    /// What is compiled depends on the config, and the text does not tell which branch that is.
    Conditional = "conditional", "leave the condition as it is, and change the code in its branches";
    /// Nothing calls the initcall: the livepatch is loaded long after boot, and the module's own was run when it was loaded.
    Initcall = "initcall", "do the work from a post-patch callback";
    /// What is read from the object when it is loaded (parameters, aliases, licence) was read long ago.
    ModuleInformation = "module-information", "leave it out; it has no effect on a loaded kernel or module";
    /// The livepatch does not export symbols in the target's name.
    Export = "export", "leave exports as they are; code in the same patch can call a new global function without one";
    /// Events are described in sections that are read when the kernel or module is loaded.
    Tracepoint = "tracepoint", "leave events as they are; use printk or an existing event";
    /// Inline assembly may write into special sections (alternatives, exception tables), which kpatch knows only in their common forms.
    InlineAssembly = "inline-assembly", "write it in C, or keep the assembly as it is";
    /// A static key or static call that a loadable module defines cannot be used by a livepatch; one of vmlinux can.
    StaticKey = "static-key", "in a module use static_key_enabled(), or KPATCH_STATIC_CALL() for static calls";
    /// System calls are defined by a macro that hides which functions belong together.
    SystemCall = "system-call", "elivepatch writes KPATCH_SYSCALL_DEFINEn in its place where the kernel's symbols allow it; the build tells";
    /// Code that runs cannot be taken away; it stays, and nothing of the new code calls it.
    RemovedFunction = "removed-function", "nothing, if no data points to it; otherwise leave it in";
    /// Tasks change over one by one: for a while some run the old and some the new code, and an object that the old code locked or counted may be released by the new.
    Locking = "locking", "see that old and new code may run at the same time on the same objects";
    /// The function may never return (a kernel thread's loop, a long sleep): tasks that sit in it keep the transition from ending.
    LongRunning = "long-running", "change the functions that the loop calls";
    /// Callbacks run once around the transition; what they change must be undone by their counterpart.
    Callback = "callback", "pair pre-patch with post-unpatch, and post-patch with pre-unpatch";
    /// Something at file scope changes whose effect is not known.
    FileScope = "file-scope", "see whether it becomes data, a type or code; keep changes inside functions where you can";
    /// The config leaves the file out, as far as its Makefile tells.
    NotBuilt = "not-built", "nothing, if the build says so too: the kernel does not contain the code";
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Rule {
    /// Whether the build notices what the rule is about. Where it does not, a livepatch may come out
    /// that is wrong: then the rule is a judgement.
    pub fn is_noticed_by_build(self) -> bool {
        !matches!(
            self,
            Self::NewData
                | Self::RemovedData
                | Self::StaticLocalAdded
                | Self::RemovedFunction
                | Self::Locking
                | Self::LongRunning
                | Self::Callback
        )
    }

    /// Where `docs/patchability.md` explains it.
    pub fn document(self) -> String {
        format!("docs/patchability.md#{}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_part_in_the_guide_in_this_order() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/patchability.md");
        let guide = std::fs::read_to_string(path).expect("docs/patchability.md");
        let headings: Vec<&str> = guide.lines().filter_map(|l| l.strip_prefix("### ")).collect();
        let mut names: Vec<&str> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
        let mut found: Vec<&str> =
            headings.into_iter().filter(|heading| !heading.contains(' ')).collect();
        names.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, names);
    }
}
