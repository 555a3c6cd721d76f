//! Two network namespaces with a cable between them, which end with the value. They need `ip` and the rights of root.

use std::fs::File;
use std::io::{self, Write};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::peers::missing;

/// A server's namespace and its clients', in one subnet of each family.
pub struct Network {
    pub server: Namespace,
    pub clients: Namespace,
}

pub struct Namespace(String);

impl Network {
    /// None if this machine cannot make one; that is reported on stderr.
    pub fn new() -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        if missing(&["ip"]) {
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("hd-{side}-{}-{number}", std::process::id());
        let Some((server, clients)) = Namespace::new(name("s")).zip(Namespace::new(name("c"))) else {
            let _ = writeln!(io::stderr(), "SKIPPED a test that needs network namespaces, which this user cannot make");
            return None;
        };
        ip(&format!("link add v0 netns {} type veth peer name v1 netns {}", server.0, clients.0));
        for (namespace, link, host) in [(&server, "v0", 1), (&clients, "v1", 2)] {
            let ip = |arguments: &str| ip(&format!("-n {} {arguments}", namespace.0));
            ip(&format!("addr add 10.77.0.{host}/16 dev {link}"));
            ip(&format!("addr add fd77::{host}/64 dev {link} nodad"));
            ip("link set lo up");
            ip(&format!("link set {link} up"));
        }
        Some(Self { server, clients })
    }
}

impl Namespace {
    fn new(name: String) -> Option<Self> {
        let added = Command::new("ip").args(["netns", "add", &name]).output().expect("ip");
        added.status.success().then_some(Self(name))
    }

    /// The file that stands for it.
    pub fn file(&self) -> String {
        format!("/run/netns/{}", self.0)
    }

    /// Gives the link another address of the network's subnet, 10.77.2.`host`.
    #[cfg(feature = "sandbox")]
    pub fn add_address(&self, link: &str, host: u8) -> std::net::Ipv4Addr {
        let address = std::net::Ipv4Addr::new(10, 77, 2, host);
        ip(&format!("-n {} addr add {address}/16 dev {link}", self.0));
        address
    }

    /// Moves the thread there; the sockets and threads that it makes from now on are there too.
    pub fn enter(&self) {
        let namespace = File::open(self.file()).expect("a namespace");
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))
            .expect("it can be entered");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn ip(arguments: &str) {
    let ran = Command::new("ip").args(arguments.split(' ')).output().expect("ip");
    assert!(ran.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&ran.stderr));
}
