//! Runs of the program openssl.

use std::{
    io::{self, Write as _},
    process::{Command, Stdio},
    time::Duration,
};

use camino::Utf8Path;
use elivepatch_model::{Failure, ModuleHash};

use super::{PKCS11, SigningOptions, failure};
use crate::process::{Ended, Finished, ProcessLimits, mortal_command, supervise};

/// What signing may use: milliseconds with a file; a token over a network may take seconds.
const LIMITS: ProcessLimits = ProcessLimits {
    time: Duration::from_secs(60),
    silence: Duration::from_secs(60),
    output_bytes: 256 << 10,
};

/// How many lines of what openssl says go with a failure.
const SAID_LINES: usize = 12;

/// What is signed, and how.
pub(super) struct Input<'a> {
    pub module: &'a Utf8Path,
    pub certificate: &'a Utf8Path,
    pub hash: ModuleHash,
}

/// Signs a file and gives the signature, in DER.
pub(super) fn sign(
    options: &SigningOptions,
    input: &Input<'_>,
    signature: &Utf8Path,
) -> Result<Vec<u8>, Failure> {
    let mut last = None;
    for way in ways(&options.key) {
        let mut arguments: Vec<&str> =
            Vec::from(["cms", "-sign", "-binary", "-noattr", "-nocerts"]);
        arguments.extend(way);
        arguments.extend(["-in", input.module.as_str(), "-signer", input.certificate.as_str()]);
        arguments.extend(["-inkey", &options.key, "-md", input.hash.as_str()]);
        arguments.extend(["-outform", "DER", "-out", signature.as_str(), "-passin"]);
        // Without it openssl would ask whoever sits at the terminal.
        let passphrase = options.passphrase_file.as_ref();
        let passphrase =
            passphrase.map_or_else(|| "pass:".to_owned(), |file| format!("file:{file}"));
        arguments.push(&passphrase);
        let finished = run(&arguments)?;
        if finished.succeeded() {
            return fs_err::read(signature).map_err(|error| super::scratch(&error));
        }
        // The way that was tried last is the one that is wanted, unless it is not installed here.
        if last.is_none() || !finished.text().contains(NOT_INSTALLED) {
            last = Some(finished);
        }
    }
    Err(refused(options, &last.expect("there is a way")))
}

/// What openssl says of a provider or engine that it does not find.
const NOT_INSTALLED: &str = "cannot open shared object file";

/// How openssl comes by the key: the options of each way, in the order in which they are tried.
fn ways(key: &str) -> Vec<Vec<&'static str>> {
    match key.starts_with(PKCS11) {
        true => vec![
            vec!["-provider", "pkcs11", "-provider", "default"],
            vec!["-engine", "pkcs11", "-keyform", "engine"],
        ],
        false => vec![vec![]],
    }
}

/// Compares a signature with what it is of, and with the certificate.
pub(super) fn verify(
    module: &Utf8Path,
    certificate: &Utf8Path,
    signature: &Utf8Path,
) -> Result<(), Failure> {
    let mut arguments = vec!["cms", "-verify", "-binary", "-inform", "DER"];
    arguments.extend(["-in", signature.as_str(), "-content", module.as_str()]);
    // Who has issued the certificate is nothing to the kernel: it has it, or has it not.
    arguments.extend(["-certfile", certificate.as_str(), "-noverify", "-out", "/dev/null"]);
    let finished = run(&arguments)?;
    match finished.succeeded() {
        true => Ok(()),
        false => Err(failure(
            "what openssl has signed is not verified by the certificate of the key",
            "look whether key and certificate belong together: openssl x509 -noout -pubkey, openssl pkey -pubout",
        )
        .with_details(finished.last_lines(SAID_LINES))),
    }
}

/// What openssl tells of a certificate: subject, serial number and subject key identifier.
pub(super) fn describe(pem: &str) -> Result<String, String> {
    let arguments = [
        "x509",
        "-noout",
        "-subject",
        "-nameopt",
        "oneline,utf8,-esc_msb,-space_eq",
        "-serial",
        "-ext",
        "subjectKeyIdentifier",
    ];
    Ok(String::from_utf8_lossy(&filter(&arguments, pem)?).into_owned())
}

/// A certificate in DER.
pub(super) fn der(pem: &str) -> Result<Vec<u8>, String> {
    filter(&["x509", "-outform", "DER"], pem)
}

/// What openssl makes of its input, which is no secret.
fn filter(arguments: &[&str], input: &str) -> Result<Vec<u8>, String> {
    let run = || -> io::Result<_> {
        let mut command = mortal_command("openssl");
        command.args(arguments).env("LC_ALL", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        // It is small enough for the pipe.
        if let Some(mut pipe) = child.stdin.take() {
            let _ = pipe.write_all(input.as_bytes());
        }
        child.wait_with_output()
    };
    let ran = run().map_err(|error| format!("openssl cannot be run: {error}"))?;
    match ran.status.success() {
        true => Ok(ran.stdout),
        false => {
            let said = String::from_utf8_lossy(&ran.stderr);
            Err(said.lines().next().unwrap_or("openssl says nothing").to_owned())
        }
    }
}

fn run(arguments: &[&str]) -> Result<Finished, Failure> {
    let mut command: Command = mortal_command("openssl");
    command.args(arguments).env("LC_ALL", "C");
    let finished = supervise(command, LIMITS, &mut |_| {}, &mut |_| None).map_err(|error| {
        failure(format!("openssl cannot be run: {error}"), "apt-get install openssl util-linux")
    })?;
    if let Some(program) = finished.missing_program() {
        let message =
            format!("the program {program}, which modules are signed with, is not installed");
        return Err(failure(message, format!("apt-get install {program}")));
    }
    Ok(finished)
}

/// Whether a key is in a file that a passphrase opens. One of 256 wrong ones seems to: what comes out has the form of
/// padded text, and openssl then says only that it is no key.
fn is_encrypted(key: &str) -> bool {
    fs_err::read(key).is_ok_and(|text| {
        String::from_utf8_lossy(&text).lines().any(|line| line.contains("ENCRYPTED"))
    })
}

/// Why openssl did not sign, by what it says.
fn refused(options: &SigningOptions, finished: &Finished) -> Failure {
    let SigningOptions { key, certificate, .. } = options;
    let said = finished.text();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let (what, hint) = if let Ended::LimitExceeded(which) = &finished.ended {
        (
            format!("the key {key} did not sign: {which}"),
            "look whether the token answers".to_owned(),
        )
    } else if says(&["key values mismatch", "private key does not match", "key type mismatch"]) {
        (
            format!("the key {key} and the certificate {certificate} do not belong together"),
            "correct module_key or module_certificate in the [signing] section of the server's config"
                .to_owned(),
        )
    } else if says(&[
        "bad decrypt",
        "bad password",
        "wrong password",
        "Login failed",
        "PIN",
        "empty password",
    ]) || says(&["Error getting passwords"])
        || (says(&["No supported data to decode"]) && is_encrypted(key))
    {
        let hint = match &options.passphrase_file {
            Some(file) => format!("correct the first line of {file}"),
            None => "name the file that has it as module_passphrase_file in the [signing] section of the server's config"
                .to_owned(),
        };
        (format!("the key {key} does not open with this passphrase or PIN"), hint)
    } else if key.starts_with(PKCS11) && says(&[NOT_INSTALLED]) {
        (
            format!("openssl has nothing here that finds the key {key}"),
            "install a provider or an engine for PKCS#11: apt-get install libengine-pkcs11-openssl, or pkcs11-provider"
                .to_owned(),
        )
    } else {
        (
            format!("the key {key} cannot be used"),
            "look whether it is an unencrypted PEM key, or the URI of one in a token".to_owned(),
        )
    };
    failure(what, hint).with_details(finished.last_lines(SAID_LINES))
}
