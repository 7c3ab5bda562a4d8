use crate::{ChangeKind, FilePatch, Hunk, LineKind, LineRange};

impl FilePatch {
    /// Writes this file's hunks as a unified diff in one canonical form.
    ///
    /// Nothing of the sent text is in it but the lines of the hunks: no other header, no timestamp,
    /// no function names after `@@`. So GNU patch never reads a header that a stranger wrote. A
    /// rename or a copy is written as the change of text to the new path.
    pub fn to_unified(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // GNU patch cuts a name at the first blank unless a tab follows later.
        let end = if self.path.as_str().contains(' ') { "\t\n" } else { "\n" };
        let old = match self.kind {
            ChangeKind::Added => "/dev/null\n".to_owned(),
            _ => format!("a/{}{end}", self.path),
        };
        let new = match self.kind {
            ChangeKind::Removed => "/dev/null\n".to_owned(),
            _ => format!("b/{}{end}", self.path),
        };
        text.extend_from_slice(format!("--- {old}+++ {new}").as_bytes());
        for hunk in &self.hunks {
            write_hunk(hunk, &mut text);
        }
        text
    }
}

fn write_hunk(hunk: &Hunk, text: &mut Vec<u8>) {
    let header = format!("@@ -{} +{} @@\n", range(hunk.old), range(hunk.new));
    text.extend_from_slice(header.as_bytes());
    for line in &hunk.lines {
        text.push(match line.kind {
            LineKind::Context => b' ',
            LineKind::Removed => b'-',
            LineKind::Added => b'+',
        });
        text.extend_from_slice(&line.content);
        text.push(b'\n');
        if line.lacks_newline {
            text.extend_from_slice(b"\\ No newline at end of file\n");
        }
    }
}

fn range(range: LineRange) -> String {
    match range.length {
        1 => range.start.to_string(),
        length => format!("{},{length}", range.start),
    }
}
