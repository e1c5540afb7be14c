//! What rustls says of a handshake that failed, in our words.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use tentpole_model::{HandshakeFault, TlsFault};

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

/// The same of a handshake with an endpoint, which is to be mended there or in its pool's settings.
pub(crate) fn endpoint_fault(error: &Error) -> TlsFault {
    use AlertDescription as Alert;
    match error {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => TlsFault::NotTls,
        Error::PeerIncompatible(_)
        | Error::NoApplicationProtocol
        | Error::AlertReceived(
            Alert::HandshakeFailure
            | Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::NoApplicationProtocol,
        ) => TlsFault::NothingInCommon,
        Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => TlsFault::ClientCertificate,
        Error::AlertReceived(_) => TlsFault::Refused,
        Error::InvalidCertificate(why) => certificate_fault(why),
        Error::NoCertificatesPresented => TlsFault::BadCertificate,
        _ => TlsFault::Misbehaved,
    }
}

fn certificate_fault(why: &CertificateError) -> TlsFault {
    match why {
        // A bad signature is what an authority of the same name with another key has made.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFault::Untrusted,
        // One that signed itself, as an authority does, and that nobody named.
        CertificateError::Other(other)
            if matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) =>
        {
            TlsFault::Untrusted
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::WrongName
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsFault::NotYetValid,
        _ => TlsFault::BadCertificate,
    }
}
