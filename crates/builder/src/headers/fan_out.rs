use std::collections::BTreeSet;

use elivepatch_model::{BuildEvent, Engine, Failure, FailureClass, StepName};

use super::is_header;
use crate::{BuilderOptions, Observer, ownership::Units, unit::Unit};

/// What compiling and comparing an object in one state takes of a core, in seconds: as measured
/// with Debian's 6.1 and gcc 12.
const SECONDS_FOR_OBJECT: f64 = 1.0;

/// How often an engine compiles an object of which it has nothing yet: as it was and as patched;
/// klp-build once more as patched, to be linked with the rest of the kernel.
fn compilations(engine: Engine) -> f64 {
    match engine {
        Engine::Kpatch => 2.0,
        Engine::KlpBuild => 3.0,
    }
}

/// How far headers may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderLimit {
    /// The most objects that are compiled for them.
    pub objects: usize,
    /// The key of the server's config that sets it, with its section.
    pub key: &'static str,
}

impl HeaderLimit {
    /// That of what somebody asked for.
    pub(crate) fn of_builds(options: &BuilderOptions) -> Self {
        Self { objects: options.header_objects, key: "header_objects in the [builder]" }
    }

    /// That of a probe: nobody waits for it alone, and many wait behind it.
    pub(crate) fn of_probes(options: &BuilderOptions) -> Self {
        let objects = options.probe_header_objects.min(options.header_objects);
        Self { objects, key: "cve_header_objects in the [policy]" }
    }
}

/// Says how far the touched headers reach together, before anything is compiled, and refuses what is
/// too much: an object that several of them reach is compiled once, and counts once. Gives it in few
/// words for the step's summary; `None` when no header is touched.
///
/// # Errors
/// `header-fan-out`, with what each header reaches in the details.
pub(crate) fn check_fan_out(
    units_of_files: &Units,
    engine: Engine,
    limit: HeaderLimit,
    cores: u32,
    observer: &dyn Observer,
) -> Result<Option<String>, Failure> {
    let headers: Vec<_> = units_of_files.iter().filter(|(file, _)| is_header(file)).collect();
    let [(first, _), others @ ..] = headers.as_slice() else { return Ok(None) };
    let reached: BTreeSet<&Unit> = headers.iter().flat_map(|(_, units)| *units).collect();
    let objects = reached.len();
    let time = duration(
        objects as f64 * compilations(engine) * SECONDS_FOR_OBJECT / f64::from(cores.max(1)),
    );
    let each: Vec<String> =
        headers.iter().map(|(header, units)| format!("{header} {}", units.len())).collect();
    let subject = match others.len() {
        0 => format!("{first} reaches"),
        _ => format!("{} touched headers together reach", headers.len()),
    };
    let limited = format!("about {time} with {engine} on {cores} cores");
    let mut line = format!(
        "{subject} up to {objects} objects: {limited} when none of them has been compiled for this \
         kernel before"
    );
    if !others.is_empty() {
        // Behind the number and the time: long lines are cut.
        line.push_str(&format!(" ({})", each.join(", ")));
    }
    observer.event(BuildEvent::Log { step: StepName::Check, line });
    if objects <= limit.objects {
        return Ok(Some(format!("{subject} up to {objects} objects: about {time}")));
    }
    let failure = Failure::new(
        FailureClass::HeaderFanOut,
        format!(
            "{subject} {objects} objects, and this server compiles at most {} for the headers of a \
             request",
            limit.objects
        ),
        format!(
            "move the change into the .c files that need it, or raise {} section of the server's \
             config ({limited})",
            limit.key
        ),
    );
    Err(match others.len() {
        0 => failure,
        _ => failure.with_details(each.iter().map(|header| format!("{header} objects"))),
    })
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, sync::Mutex};

    use super::*;
    use crate::unit::Parent;

    /// Keeps the lines of the log.
    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Observer for Lines {
        fn event(&self, event: BuildEvent) {
            let BuildEvent::Log { line, .. } = event else { return };
            self.0.lock().expect("nobody panics with it").push(line);
        }

        fn is_cancelled(&self) -> bool {
            false
        }
    }

    /// Checks files with the numbers of their units; gives the lines that were said, too.
    fn check(
        files: &[(&str, Range<u32>)],
        engine: Engine,
        header_objects: usize,
    ) -> (Result<Option<String>, Failure>, Vec<String>) {
        let unit = |number| Unit::beside(&format!("fs/{number}.c"), Parent::Vmlinux);
        let units = files.iter().map(|(file, numbers)| {
            ((*file).to_owned(), numbers.clone().map(unit).collect::<Vec<_>>())
        });
        let mut options = BuilderOptions::new("/nowhere".into());
        options.header_objects = header_objects;
        let lines = Lines::default();
        let limit = HeaderLimit::of_builds(&options);
        let result = check_fan_out(&units.collect(), engine, limit, 2, &lines);
        (result, lines.0.into_inner().expect("nobody panics with it"))
    }

    #[test]
    fn header_that_reaches_too_many_objects_is_refused_with_the_number() {
        let header = [("include/linux/fs.h", 0..300)];
        let (result, lines) = check(&header, Engine::Kpatch, 300);
        let brief = "include/linux/fs.h reaches up to 300 objects: about 5 min";
        assert_eq!(result, Ok(Some(brief.to_owned())));
        let said = format!("{brief} with kpatch on 2 cores");
        assert!(lines.len() == 1 && lines[0].starts_with(&said), "{lines:?}");
        let failure = check(&header, Engine::Kpatch, 299).0.expect_err("one too many");
        assert_eq!(failure.class, FailureClass::HeaderFanOut);
        assert!(failure.message.contains("fs.h reaches 300 objects"), "{}", failure.message);
        assert!(failure.hint.contains("about 5 min with kpatch on 2 cores"), "{}", failure.hint);
        // A .c file that is included everywhere was never refused.
        assert_eq!(check(&[("fs/part.c", 0..300)], Engine::Kpatch, 1), (Ok(None), Vec::new()));
    }

    #[test]
    fn headers_are_counted_together_and_an_object_of_several_once() {
        let headers = [
            ("fs/a.h", 0..150),
            ("fs/b.h", 100..250),
            ("fs/c.h", 0..10),
            // Not a header: it does not count.
            ("fs/999.c", 999..1000),
        ];
        let (result, lines) = check(&headers, Engine::Kpatch, 250);
        result.expect("not too many");
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let said = "3 touched headers together reach up to 250 objects: about 4 min with kpatch";
        assert!(line.starts_with(said), "{line}");
        assert!(line.ends_with("(fs/a.h 150, fs/b.h 150, fs/c.h 10)"), "{line}");
        // Each of them alone is below this limit.
        let failure = check(&headers, Engine::Kpatch, 200).0.expect_err("too many together");
        assert_eq!(failure.class, FailureClass::HeaderFanOut);
        let said =
            "3 touched headers together reach 250 objects, and this server compiles at most 200";
        assert!(failure.message.starts_with(said), "{}", failure.message);
        let each = ["fs/a.h 150 objects", "fs/b.h 150 objects", "fs/c.h 10 objects"];
        assert_eq!(failure.details, each);
    }

    #[test]
    fn probe_has_the_lower_of_both_limits() {
        let mut options = BuilderOptions::new("/nowhere".into());
        (options.header_objects, options.probe_header_objects) = (2000, 150);
        assert_eq!(HeaderLimit::of_probes(&options).objects, 150);
        options.header_objects = 100;
        assert_eq!(HeaderLimit::of_probes(&options).objects, 100);
    }

    #[test]
    fn time_is_that_of_the_engine() {
        let header = [("fs/a.h", 0..50)];
        let line = |engine| check(&header, engine, 100).1.remove(0);
        let (kpatch, klp) = (line(Engine::Kpatch), line(Engine::KlpBuild));
        assert!(kpatch.contains("50 objects: about 50 s with kpatch on 2 cores"), "{kpatch}");
        assert!(klp.contains("50 objects: about 75 s with klp-build on 2 cores"), "{klp}");
    }
}
