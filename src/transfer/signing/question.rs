//! Signs a message of ours, and checks the answer to it.

use std::time::SystemTime;

use domain::base::Message;
use domain::tsig::ClientTransaction;

use super::key::Key;
use super::response::additional;
use super::time;

/// A message that was signed, until it is answered.
#[derive(Debug)]
pub struct Question(ClientTransaction<Key>);

impl Question {
    /// Signs a message. None if it has no room for a signature, which ours have.
    pub fn sign(key: Key, message: &mut Vec<u8>, now: SystemTime) -> Option<Self> {
        ClientTransaction::request(key, &mut additional(message, 0), time(now)).ok().map(Self)
    }

    /// Whether an answer is signed as it has to be.
    pub fn is_answered_by(&self, answer: &[u8], now: SystemTime) -> bool {
        let Ok(mut answer) = Message::from_octets(answer.to_vec()) else { return false };
        self.0.answer(&mut answer, time(now)).is_ok()
    }
}
