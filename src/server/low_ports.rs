//! Ports below 1024 for a user who is not root.

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Takes up the capability to bind ports below 1024 if the process may have it: the program's file carries it, and the container
/// allows it. Threads inherit it, and UDP workers bind sockets while they run, so it comes before there are any. Whoever may not
/// have it is told when an address is bound.
///
/// The file carries it as permitted (`setcap cap_net_bind_service=+p`). If it carried it as effective too, nothing would have to be
/// done here, but it could not be executed where a container drops all capabilities (capabilities(7), *Safety checking for
/// capability-dumb binaries*).
pub fn allow_low_ports() {
    let Ok(mut sets) = capabilities(None) else { return };
    let wanted = CapabilitySet::NET_BIND_SERVICE;
    if sets.permitted.contains(wanted) && !sets.effective.contains(wanted) {
        sets.effective.insert(wanted);
        // What is permitted may be made effective.
        let _ = set_capabilities(None, sets);
    }
}
