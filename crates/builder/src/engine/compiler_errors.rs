use crate::apply::AppliedFixes;

/// Errors that are reported; what follows the first ones is mostly their consequence.
const REPORTED: usize = 20;

/// The compiler's error lines, with the line of the patch in front where there is one:
/// `fix.patch:17: error: expected ';' before '}' (fs/proc/meminfo.c:88:3)`.
pub(super) fn compiler_errors(output: &str, fixes: &AppliedFixes) -> Vec<String> {
    output
        .lines()
        .filter_map(read_message)
        .map(|message| match fixes.patch_line_of(message.file, message.line) {
            Some((fix, line)) => format!(
                "{fix}:{line}: {} ({}:{}:{})",
                message.text, message.file, message.line, message.column
            ),
            None => {
                format!("{}:{}:{}: {}", message.file, message.line, message.column, message.text)
            }
        })
        .take(REPORTED)
        .collect()
}

struct Message<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    text: &'a str,
}

/// Reads `FILE:LINE:COLUMN: error: TEXT`; warnings and notes are no errors.
fn read_message(line: &str) -> Option<Message<'_>> {
    let position = line.find(": error: ").or_else(|| line.find(": fatal error: "))?;
    let (place, text) = (&line[..position], &line[position + 2..]);
    let mut parts = place.rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    let file = parts.next()?;
    Some(Message { file: file.strip_prefix("./").unwrap_or(file), line, column, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_are_read() {
        let output = "  CC      fs/proc/meminfo.o\n\
            fs/proc/meminfo.c:88:3: error: 'x' undeclared (first use in this function)\n\
            fs/proc/meminfo.c:88:3: note: each undeclared identifier is reported only once\n\
            fs/proc/meminfo.c:90:1: warning: unused variable\n\
            ./include/linux/a.h:1:10: fatal error: b.h: No such file or directory\n\
            make[2]: *** [scripts/Makefile.build:250: fs/proc/meminfo.o] Error 1\n";
        assert_eq!(
            compiler_errors(output, &AppliedFixes::default()),
            [
                "fs/proc/meminfo.c:88:3: error: 'x' undeclared (first use in this function)",
                "include/linux/a.h:1:10: fatal error: b.h: No such file or directory",
            ]
        );
    }
}
