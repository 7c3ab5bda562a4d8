use std::{
    fs,
    io::{self, Write as _},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::{Timestamp, civil::Date, tz::Offset};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};

use super::TlsError;

/// For how many years a certificate is good that the server makes itself. Clients that know it by its fingerprint
/// do not look at its dates; for others it should not end before the machine does.
const YEARS: i16 = 10;

/// Where a certificate is that the server has made itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeCertificate {
    /// The certificate, in PEM.
    pub certificate: Utf8PathBuf,
    /// Its key, in PEM; only its owner reads it.
    pub key: Utf8PathBuf,
}

impl MadeCertificate {
    /// Its place in a data directory.
    pub fn of(data_directory: &Utf8Path) -> Self {
        let place = data_directory.join("tls");
        Self { certificate: place.join("certificate.pem"), key: place.join("key.pem") }
    }

    /// Whether it was made.
    pub fn exists(&self) -> bool {
        self.certificate.exists() && self.key.exists()
    }
}

/// Makes a certificate that signs itself, for the machine's host name, `localhost` and the address that the server
/// listens on. The key is written first: a certificate that is there has its key. What another process has made
/// meanwhile stays, for somebody may know its fingerprint already.
///
/// # Errors
/// When it cannot be made or written.
pub fn make_certificate(place: &MadeCertificate, listen: IpAddr) -> Result<(), TlsError> {
    let directory = place.certificate.parent().expect("it is in a directory");
    let unwritable = |path: &Utf8Path| {
        let path = path.to_owned();
        move |source| TlsError::Unwritable { path, source }
    };
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(unwritable(directory))?;
    let lock = directory.join("lock");
    let _lock = take(&lock).map_err(unwritable(&lock))?;
    if place.exists() {
        return Ok(());
    }
    let (certificate, key) = make(listen).map_err(TlsError::NotMade)?;
    write(directory, &place.key, &key, 0o600).map_err(unwritable(&place.key))?;
    write(directory, &place.certificate, &certificate, 0o644)
        .map_err(unwritable(&place.certificate))
}

/// Waits until no other process makes a certificate in this place.
fn take(lock: &Utf8Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(lock)?;
    file.lock()?;
    Ok(file)
}

/// Certificate and key, in PEM.
fn make(listen: IpAddr) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names(listen))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "elivepatch-server");
    let today = Offset::UTC.to_datetime(Timestamp::now()).date();
    // A client whose clock is a little behind.
    let begin = today.yesterday().unwrap_or(today);
    let last = i16::saturating_add(today.year(), YEARS);
    let end = Date::new(last, today.month(), today.day().min(28)).unwrap_or(Date::MAX);
    let of_date = |date: Date| {
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        date_time_ymd(date.year().into(), month, day)
    };
    params.not_before = of_date(begin);
    params.not_after = of_date(end);
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// The names that the certificate is for.
fn names(listen: IpAddr) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    let system = rustix::system::uname();
    let host = system.nodename().to_str().unwrap_or_default();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !host.is_empty() && host != "localhost" && host.bytes().all(is_name) {
        names.insert(0, host.to_owned());
    }
    // 0.0.0.0 and [::] are no address that anybody calls.
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    names
}

/// Writes a file whole, or not at all.
fn write(directory: &Utf8Path, path: &Utf8Path, text: &str, mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    // One that was left over has perhaps another mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(directory)?.sync_all()
}
