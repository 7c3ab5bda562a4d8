use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::UNIX_EPOCH,
};

use super::{FILE_BYTES, FeedFile, parsers::Sink};

/// Reads the files of a feed below a directory. Symbolic links are not followed.
pub(super) fn read(root: &Path, sink: &Sink) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(root).max_depth(6) {
        let entry = entry.map_err(io::Error::other)?;
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let Some(file) = path.to_str().and_then(FeedFile::of) else { continue };
        let added = if entry.file_type().is_file() {
            match content(entry.path(), sink) {
                Ok(content) if content.len() as u64 > FILE_BYTES => {
                    sink.add_unreadable(file, "it is larger than any record")
                }
                Ok(content) => sink.add(file, content),
                Err(error) => sink.add_unreadable(file, &error.to_string()),
            }
        } else {
            sink.add_unreadable(file, "it is no file")
        };
        added.map_err(io::Error::other)?;
    }
    Ok(())
}

fn content(path: &Path, sink: &Sink) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let changed = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    sink.note_time(i64::try_from(changed.as_secs()).unwrap_or(i64::MAX));
    let mut content = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut content)?;
    Ok(content)
}
