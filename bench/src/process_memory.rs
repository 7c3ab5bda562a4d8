use anyhow::Context;

/// The most memory that a process has had resident so far (`VmHWM`), in bytes. Pages of mapped
/// files count, children do not.
///
/// # Errors
/// When the process is gone.
pub fn peak_bytes(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs_err::read_to_string(&path).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kibibytes.with_context(|| format!("{path} has no VmHWM"))? * 1024)
}
