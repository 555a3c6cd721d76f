//! The program keeps nothing of the messages that it received.

use crate::support::malformed::{Client, Random, pester};
use crate::support::memory::{NOISE, program, resident};
use crate::support::program::Program;

/// W3: no memory is allocated by what a message announces, and none is kept of what it was.
#[tokio::test]
async fn malformed_messages_leave_the_memory_of_the_program_as_it_was() {
    let program = program(Program::serve);
    let mut random = Random(3);
    let mut volume = async || {
        pester(&mut Client::udp(program.dns).await, &mut random).await;
        pester(&mut Client::tcp(program.dns).await, &mut random).await;
        resident(program.id())
    };
    let (warm, after) = (volume().await, volume().await);
    assert!(after <= warm + NOISE, "{warm} kB after a first volume of messages, {after} kB after a second");
}
