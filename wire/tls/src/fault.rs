//! What rustls says of a handshake that failed, in our words.

use rustls::{Error, InvalidMessage, PeerIncompatible};
use tentpole_model::HandshakeFault;

/// Whose fault it is, as far as it matters to whoever reads a metric.
pub(crate) fn fault(error: &Error) -> HandshakeFault {
    use PeerIncompatible as Lacks;
    match error {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => HandshakeFault::NotTls,
        Error::PeerIncompatible(
            Lacks::ServerTlsVersionIsDisabledByOurConfig
            | Lacks::ServerDoesNotSupportTls12Or13
            | Lacks::SupportedVersionsExtensionRequired
            | Lacks::Tls12NotOffered
            | Lacks::Tls12NotOfferedOrEnabled,
        ) => HandshakeFault::Version,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => HandshakeFault::NothingInCommon,
        Error::General(_) => HandshakeFault::NoCertificate,
        Error::NoCertificatesPresented => HandshakeFault::ClientCertificateMissing,
        Error::InvalidCertificate(_) => HandshakeFault::ClientCertificateRefused,
        Error::AlertReceived(_) => HandshakeFault::Alert,
        _ => HandshakeFault::Misbehaved,
    }
}
