//! What was read of a feed and is needed later: in a file, since all of it together takes much memory.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use serde::{Serialize, de::DeserializeOwned};

/// How many bytes are written at once.
const WRITE_BYTES: usize = 64 << 10;

/// The file that holds what was read cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep what was read of the feed in {directory}")]
pub struct SpoolError {
    /// Where it lies, without a name.
    pub directory: PathBuf,
    /// What went wrong.
    pub source: io::Error,
}

/// Values that were put away, to be read when it is finished. The file is made with the first of them, has
/// no name, and goes with the last of those who have it open.
#[derive(Debug, Default)]
pub(super) struct Spool {
    file: Option<BufWriter<File>>,
    bytes: u64,
}

/// Where in the file a value lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    offset: u64,
    bytes: u32,
}

impl Spool {
    /// Puts a value away.
    pub(super) fn put(&mut self, value: &impl Serialize) -> Result<Place, SpoolError> {
        let text = serde_json::to_vec(value).map_err(|error| failed(error.into()))?;
        let bytes = u32::try_from(text.len()).map_err(|error| failed(io::Error::other(error)))?;
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = tempfile::tempfile().map_err(failed)?;
                none.insert(BufWriter::with_capacity(WRITE_BYTES, file))
            }
        };
        file.write_all(&text).map_err(failed)?;
        let place = Place { offset: self.bytes, bytes };
        self.bytes += u64::from(bytes);
        Ok(place)
    }

    /// The file; `None` when nothing was put away.
    pub(super) fn finish(self) -> Result<Option<File>, SpoolError> {
        let file = self.file.map(|file| file.into_inner().map_err(|error| error.into_error()));
        file.transpose().map_err(failed)
    }
}

impl Place {
    /// Reads the value that was put here.
    pub(super) fn read<T: DeserializeOwned>(self, file: &File) -> Result<T, SpoolError> {
        let mut text = vec![0; self.bytes as usize];
        file.read_exact_at(&mut text, self.offset).map_err(failed)?;
        serde_json::from_slice(&text).map_err(|error| failed(error.into()))
    }
}

fn failed(source: io::Error) -> SpoolError {
    SpoolError { directory: std::env::temp_dir(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_any_order_and_a_file_that_cannot_be_written_is_told() {
        let mut spool = Spool::default();
        let long = "x".repeat(3 * WRITE_BYTES);
        let places = [spool.put(&"a\nb"), spool.put(&long), spool.put(&"c")];
        let places = places.map(|place| place.expect("there is room"));
        let file = spool.finish().expect("there is room").expect("something was put away");
        for (place, text) in places.into_iter().zip(["a\nb", &long, "c"]).rev() {
            assert_eq!(place.read::<String>(&file).expect("it is there"), text);
        }
        assert!(Spool::default().finish().expect("nothing to do").is_none());

        let full = File::options().write(true).open("/dev/full").expect("a device of every Linux");
        let mut spool = Spool { file: Some(BufWriter::with_capacity(1, full)), bytes: 0 };
        let error = spool.put(&"a").expect_err("there is no room");
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains(std::env::temp_dir().to_str().expect("UTF-8")));
    }
}
