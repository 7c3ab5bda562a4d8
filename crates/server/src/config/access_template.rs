/// The sections of the config about who may ask, and how connections are encrypted.
pub(super) const ACCESS: &str = r##"[access]
# When a request must come with a token (elivepatch-server token create): "beyond-loopback", when the server
# listens on an address that other machines reach, or "always". On the loopback interface with
# "beyond-loopback", every user of this machine may order, cancel and assign; also whoever comes through a
# tunnel that ends here, or a proxy that adds no header such as X-Forwarded-For (one that does is refused).
# Without a token a server that wants one answers only whether it is well, and enrolments.
#tokens = "beyond-loopback"

[tls]
# Whether connections are encrypted. Without it they are when the server can be reached from other machines.
# Set it to false there only when something before it encrypts, and nobody is between the two: tokens and
# modules would travel in the clear.
#enabled = true

# The certificate, with those that lead to a root behind it, and its key: PEM files. Both are read again when
# the server gets SIGHUP. Without them the server makes a certificate that signs itself, in the data directory,
# and clients know it by its fingerprint: elivepatch-server certificate
#certificate = "/etc/elivepatch/certificate.pem"
#key = "/etc/elivepatch/key.pem"

"##;
