use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{FILE_BYTES, FeedFile, parsers::Sink};

/// Reads the files of a feed below a directory. Symbolic links are not followed.
pub(super) fn read(root: &Path, sink: &Sink) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(root).max_depth(6) {
        let entry = entry.map_err(io::Error::other)?;
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let Some(file) = path.to_str().and_then(FeedFile::of) else { continue };
        if !entry.file_type().is_file() {
            sink.add_unreadable(file, "it is no file");
            continue;
        }
        let mut content = Vec::new();
        let read = File::open(entry.path())
            .and_then(|opened| opened.take(FILE_BYTES + 1).read_to_end(&mut content));
        match read {
            Ok(_) if content.len() as u64 > FILE_BYTES => {
                sink.add_unreadable(file, "it is larger than any record");
            }
            Ok(_) => sink.add(file, content),
            Err(error) => sink.add_unreadable(file, &error.to_string()),
        }
    }
    Ok(())
}
