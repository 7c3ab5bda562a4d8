use elivepatch_model::{BuildEvent, Failure, FailureClass, StepName};

use super::is_header;
use crate::{BuilderOptions, Observer, ownership::Units};

/// What compiling and comparing an object in one state takes of a core, in seconds: as measured
/// with Debian's 6.1 and gcc 12.
const SECONDS_FOR_OBJECT: f64 = 1.0;

/// Says how far touched headers reach, before anything is compiled, and refuses what is too much.
///
/// # Errors
/// `header-fan-out`.
pub(crate) fn check_fan_out(
    units_of_files: &Units,
    options: &BuilderOptions,
    cores: u32,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    for (header, units) in units_of_files.iter().filter(|(file, _)| is_header(file)) {
        let objects = units.len();
        let time = duration(objects as f64 * 2.0 * SECONDS_FOR_OBJECT / f64::from(cores.max(1)));
        let line = format!(
            "{header} reaches up to {objects} objects: about {time} on {cores} cores when none of \
             them has been compiled for this kernel before"
        );
        observer.event(BuildEvent::Log { step: StepName::Check, line });
        if objects > options.header_objects {
            return Err(Failure::new(
                FailureClass::HeaderFanOut,
                format!(
                    "{header} reaches {objects} objects, and this server compiles at most {} for a \
                     patch to a header",
                    options.header_objects
                ),
                format!(
                    "move the change into the .c files that need it, or raise header_objects in the \
                     [builder] section of the server's config (about {time} on {cores} cores)"
                ),
            ));
        }
    }
    Ok(())
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SilentObserver,
        unit::{Parent, Unit},
    };

    #[test]
    fn header_that_reaches_too_many_objects_is_refused_with_the_number() {
        let unit = |number| Unit::beside(&format!("fs/{number}.c"), Parent::Vmlinux);
        let units: Vec<Unit> = (0..300).map(unit).collect();
        let mut options = BuilderOptions::new("/nowhere".into());
        let check = |file: &str, options: &BuilderOptions| {
            let units = Units::from([(file.to_owned(), units.clone())]);
            check_fan_out(&units, options, 2, &SilentObserver)
        };
        assert_eq!(check("include/linux/fs.h", &options), Ok(()));
        options.header_objects = 299;
        let failure = check("include/linux/fs.h", &options).expect_err("one too many");
        assert_eq!(failure.class, FailureClass::HeaderFanOut);
        assert!(failure.message.contains("300 objects"), "{}", failure.message);
        assert!(failure.hint.contains("about 5 min on 2 cores"), "{}", failure.hint);
        // A .c file that is included everywhere was never refused.
        assert_eq!(check("fs/part.c", &options), Ok(()));
    }
}
