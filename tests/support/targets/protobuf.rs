//! Any octets as an object in Protobuf: read or told to be malformed, and a field that is not known changes nothing.

use headless_dns::cluster::{Encoding, Resource, Scope, read_object};
use headless_dns::index::Index;

/// A field that no object has: number 1000, three octets.
const UNKNOWN: &[u8] = &[0xc2, 0x3e, 3, b'n', b'e', b'w'];

/// The kind by the letter that an input begins with, and its octets.
pub fn run(input: &[u8]) {
    let (resource, message) = match input {
        [b'S', message @ ..] => (Resource::Services, message),
        [b'E', message @ ..] => (Resource::EndpointSlices, message),
        [b'P', message @ ..] => (Resource::Pods, message),
        _ => return,
    };
    let read = |message: &[u8]| read_object(Encoding::Protobuf, resource, Scope::All, message).expect("no JSON");
    let (event, problems) = read(message);
    let extended = read(&[message, UNKNOWN].concat());
    // What ends within a field may go on with anything.
    if !problems.iter().any(|problem| problem == "it is not a message") {
        assert_eq!(extended, (event.clone(), problems));
    }
    let mut index = Index::default();
    index.apply(event);
    index.take_publications().for_each(drop);
}
