/// How near a flaw is to who may use it, the nearest last. By the directories of its files only: what comes of a
/// flaw says no feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exposure {
    /// Code that most machines do not reach: drivers of devices, architectures, the rest.
    Device,
    /// Code that system calls of any user reach: memory, files, processes, security.
    Syscall,
    /// Code that handles what comes from a network.
    Network,
}

/// Directories that handle what comes from a network.
const NETWORK: [&str; 7] = [
    "net/",
    "drivers/net/",
    "drivers/infiniband/",
    "drivers/nvme/target/",
    "drivers/target/",
    "fs/smb/server/",
    "fs/nfsd/",
];

/// Directories below which system calls of any user end.
const SYSCALL: [&str; 10] = [
    "block/",
    "crypto/",
    "fs/",
    "include/",
    "io_uring/",
    "ipc/",
    "kernel/",
    "lib/",
    "mm/",
    "security/",
];

impl Exposure {
    /// That of the files of a fix: the nearest of any.
    pub fn of(files: &[String]) -> Self {
        let of_file = |file: &String| {
            let is_below = |places: &[&str]| places.iter().any(|place| file.starts_with(place));
            match (is_below(&NETWORK), is_below(&SYSCALL)) {
                (true, _) => Self::Network,
                (false, true) => Self::Syscall,
                (false, false) => Self::Device,
            }
        };
        files.iter().map(of_file).max().unwrap_or(Self::Device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_file_decides() {
        let of = |files: &[&str]| {
            Exposure::of(&files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["drivers/gpu/drm/i915/a.c", "net/sctp/sm.c"]), Exposure::Network);
        assert_eq!(of(&["fs/nfsd/a.c"]), Exposure::Network);
        assert_eq!(of(&["fs/ext4/inode.c", "drivers/usb/a.c"]), Exposure::Syscall);
        assert_eq!(of(&["drivers/usb/a.c"]), Exposure::Device);
        assert_eq!(of(&[]), Exposure::Device);
        assert!(Exposure::Network > Exposure::Syscall && Exposure::Syscall > Exposure::Device);
    }
}
