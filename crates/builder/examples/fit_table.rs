//! Compares objects of Debian's stock kernels with the kernels' own code, and prints a table:
//! `fit_table CACHE WORK OBJECTS RELEASE…`. OBJECTS is a number, or sources with commas between them
//! (`fs/exec.c,kernel/fork.c`). Exits with 1 when something differs, when fewer objects are equal than
//! were asked for, and when a kernel could not be looked at.
//!
//! Objects are picked at even distances from all that a kernel is made of, the same each time. What
//! was compared before is compared again.

use camino::Utf8PathBuf;
use elivepatch_builder::{
    Builder, BuilderOptions, FitSurvey, FitSurveyInput, Observer, remove_work_directory,
};
use elivepatch_model::{BuildEvent, Failure, FailureClass};

/// Says on standard error how far it is.
struct Progress;

impl Observer for Progress {
    fn event(&self, event: BuildEvent) {
        if let BuildEvent::Progress { what, done, total, .. } = event
            && (done == total || done % 50 == 0)
        {
            eprintln!("   {what}: {done} of {total}");
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cache, work, objects, releases @ ..] = arguments.as_slice() else {
        return Err("usage: fit_table CACHE WORK OBJECTS RELEASE…".into());
    };
    let (objects, sources) = match objects.parse::<usize>() {
        Ok(number) => (number, Vec::new()),
        Err(_) => (0, objects.split(',').map(str::to_owned).collect()),
    };
    let work = Utf8PathBuf::from(work);
    let scratch = work.join("scratch");
    fs_err::create_dir_all(&scratch)?;
    let builder = Builder::open(BuilderOptions::new(cache.into()), &scratch)?;
    println!("{HEADER}");
    let mut all_fit = true;
    for release in releases {
        eprintln!("== {release}");
        let input = FitSurveyInput { release: release.parse()?, objects, sources: sources.clone() };
        let directory = work.join(release);
        fs_err::create_dir_all(&directory)?;
        let result = builder.survey_fit(&input, &Progress, &directory);
        remove_work_directory(&directory)?;
        all_fit &= match result {
            Ok(survey) => print_row(release, &survey, objects),
            Err(failure) => print_failure(release, &failure),
        };
    }
    remove_work_directory(&scratch)?;
    if all_fit { Ok(()) } else { std::process::exit(1) }
}

const HEADER: &str = "| kernel | version | objects (vmlinux + modules) | functions equal | fields | \
                      overridden | differ | compile s | fit s | fit/compile |\n\
                      | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";

/// Whether all is equal, and there is as much of it as was asked for, of vmlinux and of modules.
fn print_row(release: &str, survey: &FitSurvey, wanted: usize) -> bool {
    let FitSurvey { version, equal, differing, failures, compile_seconds, compare_seconds } =
        survey;
    let of_vmlinux = equal.iter().filter(|one| one.parent == "vmlinux").count();
    let functions: usize = equal.iter().map(|one| one.functions).sum();
    let fields: u64 = equal.iter().map(|one| one.fields).sum();
    let overridden: usize = equal.iter().map(|one| one.overridden).sum();
    println!(
        "| {release} | {version} | {} ({of_vmlinux} + {}) | {functions} | {fields} | {overridden} | {differing} \
         | {compile_seconds:.1} | {compare_seconds:.2} | {:.1} % |",
        equal.len(),
        equal.len() - of_vmlinux,
        100.0 * compare_seconds / compile_seconds
    );
    for failure in failures {
        eprintln!("error: {release}: {}", failure.message);
        failure.details.iter().for_each(|line| eprintln!("   {line}"));
    }
    let is_enough = equal.len() >= wanted.max(1)
        && (wanted < 2 || (of_vmlinux > 0 && of_vmlinux < equal.len()));
    if !is_enough {
        let of_modules = equal.len() - of_vmlinux;
        eprintln!(
            "error: {release}: {wanted} objects of vmlinux and modules were to be equal, and {of_vmlinux} \
             of vmlinux and {of_modules} of modules are"
        );
    }
    failures.is_empty() && is_enough
}

/// A kernel that is not there is no kernel that fits.
fn print_failure(release: &str, failure: &Failure) -> bool {
    println!("| {release} | – | not compared: {} | | | | | | | |", failure.class);
    eprintln!("error: {release}: {}", failure.message);
    failure.details.iter().for_each(|line| eprintln!("   {line}"));
    if failure.class == FailureClass::ReleaseUnknown {
        eprintln!(
            "hint: it has left the archive; its packages are at https://snapshot.debian.org/package/linux/"
        );
    } else {
        eprintln!("hint: {}", failure.hint);
    }
    false
}
