//! The signature of a request.

use std::time::SystemTime;

use domain::base::iana::{Class, TsigRcode};
use domain::base::{Message, MessageBuilder, ParsedName, ToName};
use domain::rdata::tsig::Tsig;
use domain::tsig::{Algorithm, KeyStore, ServerError, ServerSequence};

use super::key::{Access, Key};
use super::keys::Keys;
use super::response::Signer;
use super::time;
use crate::dns::wire::{HEADER, Rcode};

/// Octets of the error code and of the length of other data, near the end of a TSIG record (RFC 8945 section 4.2).
const ERROR_AND_LENGTH: usize = 4;

/// What the signature of a request is worth.
pub enum Verified {
    Unsigned,
    /// The request without its signature, and what signs the answer.
    Signed(Vec<u8>, Box<Signer>),
    Rejected(Rejection),
}

/// The answer to a request whose signature is not accepted.
#[derive(Debug)]
pub struct Rejection {
    pub rcode: Rcode,
    /// For the log: `BADKEY`, or what else is wrong.
    pub problem: &'static str,
    /// The whole message.
    pub response: Vec<u8>,
}

impl Keys {
    /// Checks the signature of a message that is at least a header.
    pub fn verify(&self, octets: &[u8], now: SystemTime) -> Verified {
        let Ok(mut message) = Message::from_octets(octets.to_vec()) else { return Verified::Unsigned };
        let signature = start_of_last(&message);
        match ServerSequence::request(self, &mut message, time(now)) {
            Ok(None) => Verified::Unsigned,
            Ok(Some(sequence)) => {
                // `domain` takes the signature out of the count alone.
                let mut message = message.into_octets();
                message.truncate(signature.unwrap_or(usize::MAX));
                let key = self.get_key(sequence.key().name(), sequence.key().algorithm());
                // A key that has gone from its file since opens as little as there is.
                let access = key.map_or(Access::Public, |key| key.access());
                Verified::Signed(message, Box::new(Signer::new(sequence, access)))
            }
            Err(error) => match self.reject(octets, error) {
                Some(rejection) => Verified::Rejected(rejection),
                // Nothing of that kind fits into no message: there is no limit.
                None => Verified::Unsigned,
            },
        }
    }

    /// The answer to a message whose signature is not accepted.
    fn reject(&self, octets: &[u8], error: ServerError<Key>) -> Option<Rejection> {
        let message = Message::from_octets(octets).ok()?;
        let code = error.error();
        let mut response = error.build_message(&message, MessageBuilder::new_vec()).ok()?.finish();
        let code = match code {
            // `domain` says FORMERR of a wrong signature too, in a TSIG record. RFC 8945 section 5.2.2 has BADSIG.
            TsigRcode::FORMERR if tsig(&Message::from_octets(&*response).ok()?).is_some() => TsigRcode::BADSIG,
            code => code,
        };
        let (rcode, problem) = match code {
            TsigRcode::BADKEY => (Rcode::NotAuth, "BADKEY"),
            TsigRcode::BADTRUNC => (Rcode::NotAuth, "BADTRUNC"),
            TsigRcode::BADSIG => {
                let at = response.len().checked_sub(ERROR_AND_LENGTH)?;
                response.get_mut(at..at + 2)?.copy_from_slice(&TsigRcode::BADSIG.to_int().to_be_bytes());
                (Rcode::NotAuth, "BADSIG")
            }
            TsigRcode::BADTIME => {
                sign_bad_time(self, &message, &mut response)?;
                (Rcode::NotAuth, "BADTIME")
            }
            _ => (Rcode::FormErr, "FORMERR"),
        };
        Some(Rejection { rcode, problem, response })
    }
}

type Read<'m> = Tsig<&'m [u8], ParsedName<&'m [u8]>>;

/// The TSIG record of a message, if it is where it has to be and can be read.
fn tsig<'m>(message: &Message<&'m [u8]>) -> Option<Read<'m>> {
    let last = message.additional().ok()?.last()?.ok()?;
    Some(last.into_record::<Read<'m>>().ok()??.into_data())
}

/// Where the last additional record begins.
fn start_of_last(message: &Message<Vec<u8>>) -> Option<usize> {
    let mut section = message.additional().ok()?;
    let mut last = None;
    loop {
        let start = section.pos();
        match section.next() {
            Some(record) => last = record.is_ok().then_some(start),
            None => return last,
        }
    }
}

/// Signs an answer BADTIME over what RFC 8945 section 5.3 names. `domain` takes eight octets for the server's time, which has six.
fn sign_bad_time(keys: &Keys, request: &Message<&[u8]>, response: &mut [u8]) -> Option<()> {
    let written = Message::from_octets(&*response).ok()?;
    let (sent, signature) = (tsig(request)?, tsig(&written)?);
    let owner = request.additional().ok()?.last()?.ok()?.owner().to_vec();
    let key = keys.get_key(&owner, Algorithm::from_name(sent.algorithm())?)?;
    let unsigned = response.get(..written.additional().ok()?.pos())?;
    let (counts, body) = unsigned.split_at_checked(HEADER)?;
    let mut hmac = key.hmac();
    let length = |octets: &[u8]| u16::try_from(octets.len()).map(u16::to_be_bytes).unwrap_or_default();
    hmac.update(&length(sent.mac()));
    hmac.update(sent.mac());
    // Without the signature there is no additional record.
    hmac.update(counts.get(..HEADER - 2)?);
    hmac.update(&[0, 0]);
    hmac.update(body);
    let mut variables = Vec::new();
    // A vector has no limit.
    let _ = owner.compose_canonical(&mut variables);
    variables.extend_from_slice(&Class::ANY.to_int().to_be_bytes());
    variables.extend_from_slice(&0_u32.to_be_bytes());
    let _ = signature.algorithm().compose_canonical(&mut variables);
    variables.extend_from_slice(&signature.time_signed().into_octets());
    variables.extend_from_slice(&signature.fudge().to_be_bytes());
    variables.extend_from_slice(&signature.error().to_int().to_be_bytes());
    variables.extend_from_slice(&length(signature.other()));
    variables.extend_from_slice(signature.other());
    hmac.update(&variables);
    let mac = hmac.sign();
    // The original ID, and what is behind it, end the record.
    let end = response.len().checked_sub(2 + ERROR_AND_LENGTH + signature.other().len())?;
    response.get_mut(end.checked_sub(mac.as_ref().len())?..end)?.copy_from_slice(mac.as_ref());
    Some(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    use domain::base::Name;
    use domain::base::iana::Rtype;
    use domain::tsig::{self, ClientSequence, KeyName, ValidationError};

    use super::super::KeyFiles;
    use super::*;

    fn keys() -> (tempfile::TempDir, std::sync::Arc<Keys>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        fs::write(&file, "key ours { algorithm hmac-sha256; secret \"c2VjcmV0LXNlY3JldC1zZWNyZXQ=\"; };").unwrap();
        let keys = Keys::read(KeyFiles { zones: vec![file], ..KeyFiles::default() }).unwrap();
        (folder, keys)
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    /// A request that is signed with a key, at a time.
    fn signed(key: tsig::Key, at: SystemTime) -> (Vec<u8>, ClientSequence<tsig::Key>) {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(0x1234);
        let mut builder = builder.question();
        builder.push((Name::<Vec<u8>>::vec_from_str("cluster.local").unwrap(), Rtype::AXFR)).unwrap();
        let mut builder = builder.additional();
        let sequence = ClientSequence::request(key, &mut builder, time(at)).unwrap();
        (builder.finish(), sequence)
    }

    fn key(name: &str, algorithm: Algorithm, secret: &[u8], length: Option<usize>) -> tsig::Key {
        let name: KeyName = name.parse().unwrap();
        tsig::Key::new(algorithm, secret, name, length, length).unwrap()
    }

    const SECRET: &[u8] = b"secret-secret-secret";

    /// X1.
    #[test]
    fn every_message_of_an_answer_is_signed() {
        let (_folder, keys) = keys();
        let (request, mut client) = signed(key("ours", Algorithm::Sha256, SECRET, None), now());
        let Verified::Signed(message, mut signer) = keys.verify(&request, now()) else { panic!("not accepted") };
        assert_eq!((message.len(), signer.key().as_str()), (12 + 19, "ours"), "the signature is taken away");
        assert!(message.ends_with(&[0, 252, 0, 1]), "the question alone is left");
        for number in 0..3 {
            let mut out = b"before".to_vec();
            let start = out.len();
            out.extend_from_slice(&message);
            out[start + 2] |= 0x80;
            signer.sign(&mut out, start, now());
            assert!(out.len() <= start + message.len() + usize::from(signer.reserved()));
            let mut answer = Message::from_octets(out[start..].to_vec()).unwrap();
            client.answer(&mut answer, time(now())).unwrap_or_else(|error| panic!("message {number}: {error}"));
        }
        client.done().unwrap();
    }

    /// X1.
    #[test]
    fn what_is_wrong_with_a_signature_is_said_as_the_rfc_has_it() {
        let (_folder, keys) = keys();
        let later = now() + Duration::from_secs(301);
        for (key, at, problem) in [
            (key("other", Algorithm::Sha256, SECRET, None), now(), "BADKEY"),
            (key("ours", Algorithm::Sha512, SECRET, None), now(), "BADKEY"),
            (key("ours", Algorithm::Sha1, SECRET, None), now(), "BADKEY"),
            (key("ours", Algorithm::Sha256, b"another", None), now(), "BADSIG"),
            (key("ours", Algorithm::Sha256, SECRET, Some(16)), now(), "BADTRUNC"),
            (key("ours", Algorithm::Sha256, SECRET, None), later, "BADTIME"),
        ] {
            let (request, mut client) = signed(key, at);
            let Verified::Rejected(rejection) = keys.verify(&request, now()) else { panic!("{problem}: accepted") };
            assert_eq!((rejection.problem, rejection.rcode), (problem, Rcode::NotAuth));
            let mut answer = Message::from_octets(rejection.response).unwrap();
            assert!(answer.header().qr() && answer.header().id() == 0x1234 && answer.header_counts().qdcount() == 1);
            let written = answer.additional().unwrap().last().unwrap().unwrap();
            let written = written.into_record::<Tsig<_, _>>().unwrap().unwrap();
            let (code, mac) = (written.data().error(), written.data().mac().len());
            assert_eq!((code.to_string().starts_with(problem), mac > 0), (true, problem == "BADTIME"), "{code}");
            if problem == "BADTIME" {
                assert_eq!(written.data().other_time(), Some(time(now())));
            } else if problem == "BADSIG" {
                let said = client.answer(&mut answer, time(now()));
                assert!(matches!(said, Err(ValidationError::ServerBadSig)), "{said:?}");
            }
        }
    }

    /// X1.
    #[test]
    fn a_signature_that_is_not_the_last_record_is_malformed() {
        let (_folder, keys) = keys();
        let (request, _) = signed(key("ours", Algorithm::Sha256, SECRET, None), now());
        assert!(matches!(keys.verify(&request[..12], now()), Verified::Unsigned | Verified::Rejected(_)));
        let question = 12 + 19;
        let mut twice = [&request[..], &request[question..]].concat();
        twice[11] = 2;
        let mut not_last = [&request[..], &[0, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        not_last[11] = 2;
        for malformed in [&twice, &not_last, &request[..request.len() - 1].to_vec()] {
            let Verified::Rejected(rejection) = keys.verify(malformed, now()) else { panic!("accepted") };
            assert_eq!((rejection.problem, rejection.rcode), ("FORMERR", Rcode::FormErr));
        }
    }
}
